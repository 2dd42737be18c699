package wire

// StockHeader opens a stream of kind DockerStock, from any manager, directly or through another one. The agent answers with
// one Stock. One that doesn't know the kind kills the stream.
type StockHeader struct{}

// MaxStock bounds each list of a Stock; of more the rest is left out.
const MaxStock = 2000

// Stock is what the Docker Engine of a host has, of Kiosc and of others. Its lists are sorted by name.
type Stock struct {
	Error      string // why nothing is known
	Containers []StockContainer
	Networks   []StockNetwork
	Images     []StockImage
	Volumes    []StockVolume
}

// StockContainer is a Docker container. Cluster and Container are from Kiosc's labels; empty for what isn't of a Kiosc.
type StockContainer struct {
	DockerID, Name, Image, State string
	Cluster, Container           string
}

// StockNetwork is a Docker network with the names of the Docker containers in it.
type StockNetwork struct {
	ID, Name, Driver, Subnet, Gateway string
	Containers                        []string
	Ours                              bool // of this cluster
}

// StockImage is an image. Used is how many Docker containers are made of it.
type StockImage struct {
	ID   string
	Tags []string
	Size int64 // bytes
	Used int
}

// StockVolume is a volume. Used is how many Docker containers have it.
type StockVolume struct {
	Name, Driver, Mountpoint string
	Used                     int
	Ours                     bool // of this cluster
}
