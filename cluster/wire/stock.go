package wire

// StockHeader opens a stream of kind DockerStock, from any manager, directly or through another one. The agent answers with
// one Stock. One that doesn't know the kind kills the stream.
type StockHeader struct {
	// Sizes asks for those of volumes, too, which Docker may take long to find out.
	Sizes bool
}

const (
	// MaxStock bounds each list of a Stock; of more the rest is left out.
	MaxStock = 2000
	// MaxStockNames bounds the names that one entry of a Stock has of a kind.
	MaxStockNames = 5
	// MaxStockRemoval bounds what one RemoveStock names.
	MaxStockRemoval = 200
)

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
	// Self says that a manager or an agent runs in it.
	Self bool `cbor:",omitempty"`
}

// StockNetwork is a Docker network with the names of the first Docker containers in it, and how many there are.
type StockNetwork struct {
	ID, Name, Driver, Subnet, Gateway string
	Containers                        []string
	Used                              int  `cbor:",omitempty"`
	Ours                              bool // of this cluster
}

// StockImage is an image. Used is how many Docker containers are made of it, UsedBy the names of the first.
type StockImage struct {
	ID      string
	Tags    []string
	Digests []string `cbor:",omitempty"` // by which it can be named, too
	Size    int64    // bytes, with layers that it shares with other images
	Used    int
	UsedBy  []string `cbor:",omitempty"`
}

// StockVolume is a volume. Used is how many Docker containers have it, UsedBy the names of the first.
type StockVolume struct {
	Name, Driver, Mountpoint string
	Used                     int
	UsedBy                   []string `cbor:",omitempty"`
	Ours                     bool     // of this cluster
	// Cluster, Project and Volume are from Kiosc's labels; empty for what isn't of a Kiosc.
	Cluster string `cbor:",omitempty"`
	Project string `cbor:",omitempty"`
	Volume  string `cbor:",omitempty"` // its name in the project
	// Anonymous says that Docker made it for a Docker container, and nobody gave it a name.
	Anonymous bool `cbor:",omitempty"`
	// Size is in bytes; nil where it wasn't asked for, or Docker doesn't tell it in time.
	Size *int64 `cbor:",omitempty"`
}

// StockRemovalHeader opens a stream of kind StockRemoval, from any manager, directly or through another one. One RemoveStock
// follows, and the agent answers with a StockRemoved for each entry, the images first, as they go. An agent that doesn't
// know the kind kills the stream.
type StockRemovalHeader struct{}

// RemoveStock asks for images and volumes to be removed that no Docker container uses. It names MaxStockRemoval at most.
type RemoveStock struct {
	Images  []StockImageRemoval
	Volumes []string
}

// StockImageRemoval is an image to be removed. One that has other tags than these by now is left.
type StockImageRemoval struct {
	ID   string
	Tags []string
}

// StockRemoved says what became of an image or a volume. One that wasn't there any more counts as removed.
type StockRemoved struct {
	ID string // of the image, or the volume's name
	// Refused is why it is still there, in a sentence for people; empty where it is removed.
	Refused string
	Gone    bool // before anybody asked
}
