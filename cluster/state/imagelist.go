package state

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// The bounds of the image allow-list.
const (
	MaxImagePatterns = 200 // patterns
	MaxImagePattern  = 255 // bytes of one
)

// ImageAllowListSet replaces the patterns of which each container's image must fit one; none lets every image through.
// What runs goes on. Applied, it returns the patterns.
type ImageAllowListSet struct {
	Patterns []string
}

func (c *ImageAllowListSet) apply(tx *Tx) (any, error) {
	f := fieldErrors{}
	if len(c.Patterns) > MaxImagePatterns {
		f.add("patterns", "The list can have "+itoa(MaxImagePatterns)+" patterns at most.")
	}
	for i, p := range c.Patterns {
		switch {
		case len(p) > MaxImagePattern:
			f.add("patterns", "A pattern can have "+itoa(MaxImagePattern)+" characters at most, and \""+p[:32]+"…\" has more.")
		case !validImagePattern(p):
			f.add("patterns", "\""+p+"\" is not an image name, with * for what may differ, such as nginx, registry.example.org/** or group/app:1.*.")
		case slices.Contains(c.Patterns[:i], p):
			f.add("patterns", "\""+p+"\" is there twice.")
		}
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if len(c.Patterns) == 0 {
		return c.Patterns, tx.delete(bucketMeta, metaImages)
	}
	return c.Patterns, tx.put(bucketMeta, metaImages, c.Patterns)
}

// ImageAllowList returns the patterns, as they were entered; none where every image is allowed.
func (tx *Tx) ImageAllowList() (patterns []string, err error) {
	patterns, _, err = get[[]string](tx, bucketMeta, metaImages)
	return patterns, err
}

// ImageAllowed tells whether the site allows an image, as Spec.Image gives it.
func (tx *Tx) ImageAllowed(image string) (bool, error) {
	patterns, err := tx.ImageAllowList()
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return MatchImage(p, image) }), err
}

// CheckImage refuses a definition whose image the site doesn't allow.
func (tx *Tx) CheckImage(s *Spec) error {
	allowed, err := tx.ImageAllowed(s.Image())
	if err != nil || allowed {
		return err
	}
	text := "The image " + fullImage(s.Image()) + " is not allowed on this site. Choose another one, or ask the people who run this site to allow it."
	return &Error{Code: Invalid, Message: text, Fields: map[string][]string{"repository": {text}}}
}

// checkStart refuses an action that starts a container whose image the site doesn't allow any more.
func (tx *Tx) checkStart(c *Container) error {
	if c.Action != Start && c.Action != Restart {
		return nil
	}
	allowed, err := tx.ImageAllowed(c.Image())
	if err != nil || allowed {
		return err
	}
	return Errorf(Conflict, "The image "+fullImage(c.Image())+" is not allowed on this site any more, so the container is not started. "+
		"Choose another image, or ask the people who run this site to allow it.")
}

// fullImage is the form of an image's name in which patterns are compared with it: with registry, and with a tag or digest.
// It is empty for what is no name.
func fullImage(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	if digested, ok := named.(reference.Digested); ok { // then Docker doesn't look at the tag
		return named.Name() + "@" + digested.Digest().String()
	}
	return reference.TagNameOnly(named).String()
}

// MatchImage tells whether an image's name fits a pattern of the allow-list: * in it stands for any characters but /, ** for
// any. What a pattern leaves out is added to it as Docker does to names, but for the tag: without one, all tags and digests
// fit. One that has a tag fits no name with a digest, because Docker goes by the digest alone.
func MatchImage(pattern, image string) bool {
	full := fullImage(image)
	if full == "" {
		return false
	}
	name, version := splitImage(full)
	wantName, wantVersion := splitImage(normalPattern(pattern))
	return glob(wantName, name) && (wantVersion == "" || glob(wantVersion, version))
}

// splitImage cuts off the tag or digest, with the character before it. A tag before a digest says nothing.
func splitImage(image string) (name, version string) {
	if i := strings.IndexByte(image, '@'); i >= 0 {
		name, _ = splitImage(image[:i])
		return name, image[i:]
	}
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i], image[i:]
	}
	return image, ""
}

const (
	dockerHub      = "docker.io"
	dockerHubAlias = "index.docker.io"
)

// normalPattern adds the registry and the library that Docker takes for granted. A pattern that begins with ** is about all
// registries already.
func normalPattern(p string) string {
	if strings.HasPrefix(p, "**") {
		return p
	}
	host, rest, ok := strings.Cut(p, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" && strings.ToLower(host) == host {
		host, rest = dockerHub, p
	}
	if host == dockerHubAlias {
		host = dockerHub
	}
	if host == dockerHub && !strings.Contains(rest, "/") && !strings.HasPrefix(rest, "**") {
		rest = "library/" + rest
	}
	return host + "/" + rest
}

// validImagePattern tells whether some image's name could fit. Zeros can stand wherever * may, also in a port.
func validImagePattern(p string) bool {
	name, version := splitImage(p)
	if strings.HasPrefix(version, "@") && strings.Contains(version, "*") {
		return false
	}
	for strings.Contains(name, "**") {
		name = strings.ReplaceAll(name, "**", "*")
	}
	_, err := reference.ParseNormalizedNamed(strings.ReplaceAll(name+version, "*", "0"))
	return err == nil
}

// glob tells whether a pattern fits the whole text, in time of the product of their lengths at most.
func glob(pattern, text string) bool {
	// fits[i] says that what was seen of the pattern fits the first i bytes of the text.
	fits := make([]bool, len(text)+1)
	fits[0] = true
	for pattern != "" {
		c := pattern[0]
		across := strings.HasPrefix(pattern, "**")
		pattern = pattern[1:]
		switch {
		case across:
			pattern = pattern[1:]
			for i := range len(text) {
				fits[i+1] = fits[i+1] || fits[i]
			}
		case c == '*':
			for i := range len(text) {
				fits[i+1] = fits[i+1] || fits[i] && text[i] != '/'
			}
		default:
			for i := len(text); i > 0; i-- {
				fits[i] = fits[i-1] && text[i-1] == c
			}
			fits[0] = false
		}
	}
	return fits[len(text)]
}
