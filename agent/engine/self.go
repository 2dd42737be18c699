package engine

import (
	"bufio"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/docker/docker/api/types/container"
)

// labelRole marks a Docker container in which a node of a Kiosc runs; its value is manager, agent or dev.
const labelRole = "org.kiosc.role"

// self is what this process may be known by to Docker: ids of a Docker container, or beginnings of one. Docker's list tells
// whether it is one of this Docker's at all.
type self []string

var dockerID = regexp.MustCompile(`[0-9a-f]{64}`)

// minSelf is how long a beginning of an id must be to stand for one; host names have so much of it.
const minSelf = 12

// findSelf looks where a process in a Docker container finds the id of that: in the files that Docker mounts into each
// Docker container, in the cgroup, and in the host name, unless the Docker container was given others.
func findSelf() (s self) {
	if mounts, err := os.Open("/proc/self/mountinfo"); err == nil {
		defer mounts.Close()
		for lines := bufio.NewScanner(mounts); lines.Scan(); {
			s = append(s, selfByMount(lines.Text())...)
		}
	}
	if cgroup, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		s = append(s, dockerID.FindAllString(string(cgroup), -1)...)
	}
	if host, err := os.Hostname(); err == nil && len(host) == minSelf {
		s = append(s, host)
	}
	return s
}

// selfByMount reads a line of mountinfo. Only the files that each Docker container has count: a Docker host has mounts of
// all its Docker containers.
func selfByMount(line string) []string {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return nil
	}
	switch root, at := fields[3], fields[4]; at {
	case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
		if id := path.Base(path.Dir(root)); path.Base(root) == path.Base(at) && dockerID.MatchString(id) {
			return []string{id}
		}
	}
	return nil
}

// is tells whether a node of a Kiosc runs in a Docker container: this one, or another that says so by its label.
func (s self) is(c *container.Summary) bool {
	for _, id := range s {
		if strings.HasPrefix(c.ID, id) {
			return true
		}
	}
	return c.Labels[labelRole] != ""
}
