package state

import (
	"strings"
	"time"

	"github.com/distribution/reference"
)

var bucketRegistries = bucket("registries") // project id, host of a registry → Registry

// Registry is a project's login for a Docker registry. It is used for the pulls of the project's containers.
type Registry struct {
	Project string
	Host    string // as in an image's name: registry.example.org, or with a port; docker.io for Docker Hub
	User    string
	Sealed  []byte // the password
	SetBy   string // user name
	SetAt   time.Time
}

// Limits of registries, in bytes unless said otherwise.
const (
	MaxRegistryHost     = 255
	MaxRegistryUser     = 255
	MaxRegistryPassword = 8 << 10 // some are signed tokens
	maxRegistries       = 50      // of one project
	maxSealed           = MaxRegistryPassword + 1024
)

// DockerHub is the registry of images that are named without one.
const DockerHub = "docker.io"

// RegistryHost brings what people call a registry into the form in which images name it. What is no host is returned as it
// is, for Validate to refuse.
func RegistryHost(text string) string {
	host := strings.ToLower(strings.TrimSpace(text))
	host = strings.TrimPrefix(strings.TrimPrefix(host, "https://"), "http://")
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(host, "/"), "/v2"), "/v1")
	switch host {
	case "index.docker.io", "registry-1.docker.io", "hub.docker.com", "registry.hub.docker.com":
		return DockerHub
	}
	return host
}

// RegistryOf is the registry that an image is pulled from; empty where the image has no valid name.
func RegistryOf(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

// Validate checks the rules that hold for every registry.
func (r *Registry) Validate() error {
	f := fieldErrors{}
	requireText(f, "host", r.Host, MaxRegistryHost)
	if len(f["host"]) == 0 && RegistryOf(r.Host+"/image") != r.Host {
		f.add("host", "Write the registry as images name it, such as registry.example.org or registry.example.org:5000, or docker.io.")
	}
	requireText(f, "user", r.User, MaxRegistryUser)
	if len(r.Sealed) == 0 {
		f.add("password", "This field may not be blank.")
	} else if len(r.Sealed) > maxSealed {
		f.add("password", "Ensure this field has no more than "+itoa(MaxRegistryPassword)+" characters.")
	}
	return f.err()
}

// RegistrySet gives a project a login for a registry, in place of one that it has.
type RegistrySet struct {
	Registry Registry
}

func (c *RegistrySet) apply(tx *Tx) (any, error) {
	r := c.Registry
	if err := r.Validate(); err != nil {
		return nil, err
	}
	project, ok, err := tx.Project(r.Project)
	if err != nil || !ok || project.Type != TypeProject {
		return nil, orNotFound(err, "There is no such project.")
	}
	if _, there, err := tx.Registry(r.Project, r.Host); err != nil {
		return nil, err
	} else if !there {
		all, err := tx.RegistriesOf(r.Project)
		if err != nil {
			return nil, err
		}
		if len(all) >= maxRegistries {
			return nil, Errorf(TooMany, "This project has "+itoa(maxRegistries)+" registries. Remove one that is no longer used first.")
		}
	}
	return r, tx.put(bucketRegistries, key(r.Project, r.Host), r)
}

// RegistryRemoved takes a login for a registry from a project.
type RegistryRemoved struct {
	Project, Host string
}

func (c *RegistryRemoved) apply(tx *Tx) (any, error) {
	_, ok, err := tx.Registry(c.Project, c.Host)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such registry in this project.")
	}
	return nil, tx.delete(bucketRegistries, key(c.Project, c.Host))
}

// Registry returns a project's login for a registry.
func (tx *Tx) Registry(project, host string) (r Registry, ok bool, err error) {
	return get[Registry](tx, bucketRegistries, key(project, host))
}

// RegistriesOf returns a project's logins, by host.
func (tx *Tx) RegistriesOf(project string) (list []Registry, err error) {
	err = each(tx, bucketRegistries, key(project, ""), func(_ []byte, r Registry) bool {
		list = append(list, r)
		return true
	})
	return list, err
}

// removeRegistriesOf forgets the logins of a project that goes.
func (tx *Tx) removeRegistriesOf(project string) error {
	list, err := tx.RegistriesOf(project)
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := tx.delete(bucketRegistries, key(project, r.Host)); err != nil {
			return err
		}
	}
	return nil
}
