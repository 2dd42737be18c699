// Command kiosc starts Docker images with a web server in them on any of an institute's Docker hosts, and gives the
// members of a project access to those apps through one authenticated address.
package main

import (
	"os"

	"kiosc/manager/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
