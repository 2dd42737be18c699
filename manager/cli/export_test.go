package cli

// For tests of what people see at a given time, and of streams that stall.
var (
	ShowCluster     = showCluster
	ShowDetails     = showDetails
	Ago             = ago
	NewIdleReader   = newIdleReader
	Directories     = directories
	OpenID          = openID
	NewRoot         = newRoot
	FromEnvironment = fromEnvironment
)
