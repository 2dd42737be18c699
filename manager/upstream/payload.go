package upstream

import (
	"encoding/json"
	"mime"
	"strings"
)

// MediaType is of the answers of the remote project API.
const MediaType = "application/vnd.bihealth.sodar-core.projectroles.sync+json"

// Versions are those of the remote project API that are spoken, the newest first.
var Versions = []string{"2.1", "2.0", "1.0"}

// extension is the header with which a Kiosc asks for what SODAR's answers don't have, and other sites must not be given: the
// public access of projects.
const (
	extension      = "Kiosc-Sync"
	extensionValue = "public-access"
)

// Path is where a site answers, behind its address.
const Path = "/project/api/remote/get/"

// payload is an answer of the remote project API, in the form that goes over the network.
type payload struct {
	Users       map[string]userJSON        `json:"users"`
	Projects    map[string]projectJSON     `json:"projects"`
	PeerSites   map[string]peerJSON        `json:"peer_sites"`
	AppSettings map[string]json.RawMessage `json:"app_settings"`
}

type userJSON struct {
	Username         string   `json:"username"`
	Name             string   `json:"name"`
	FirstName        string   `json:"first_name"`
	LastName         string   `json:"last_name"`
	Email            string   `json:"email"`
	AdditionalEmails []string `json:"additional_emails"`
	Groups           []string `json:"groups"`
	UUID             string   `json:"sodar_uuid"`
	// IsActive is there from version 2.1 on.
	IsActive *bool `json:"is_active,omitempty"`
}

type projectJSON struct {
	Title string `json:"title"`
	Type  string `json:"type"`
	Level string `json:"level"`
	// Parent is null, or not there, for what is at the top.
	Parent      *string             `json:"parent_uuid"`
	Description string              `json:"description"`
	Readme      string              `json:"readme"`
	RemoteSites []string            `json:"remote_sites,omitzero"`
	Roles       map[string]roleJSON `json:"roles,omitzero"`
	// PublicAccess is a role or null, PublicGuestAccess its older form; SODAR Core up to 1.4 has neither.
	PublicAccess      json.RawMessage `json:"public_access,omitempty"`
	PublicGuestAccess *bool           `json:"public_guest_access,omitempty"`
}

type roleJSON struct {
	User string `json:"user"`
	Role string `json:"role"`
}

type peerJSON struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Description string `json:"description"`
	UserDisplay bool   `json:"user_display"`
}

// levels of projects in an answer that are acted upon.
const (
	levelReadRoles = "READ_ROLES"
	levelRevoked   = "REVOKED"
)

// Groups of users that are no domain of a directory.
const (
	groupSystem = "system"
	groupOIDC   = "oidc"
)

// Asked tells in which version an Accept header asks for an answer; ok is false for none of ours. Who names no version gets
// the newest.
func Asked(accept string) (version string, ok bool) {
	asked := false
	for _, part := range strings.Split(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if name != MediaType && name != "application/json" {
			continue
		}
		given, versioned := params["version"]
		if err == nil && !versioned {
			return Versions[0], true
		}
		for _, v := range Versions {
			if err == nil && v == given {
				return v, true
			}
		}
		asked = true
	}
	return Versions[0], !asked
}

// ContentType is that of an answer in this version.
func ContentType(version string) string { return MediaType + "; version=" + version }
