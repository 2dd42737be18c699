package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"kiosc/cluster/state"
	"kiosc/cluster/wire"
)

const (
	// MaxDockerRemoval is how many images and volumes one request may remove.
	MaxDockerRemoval = wire.MaxStockRemoval
	// removalPatience is how long a Docker host may take to remove things: a little more than its agent gives itself.
	removalPatience = 24 * time.Second
	// tellRemovalsTimeout bounds the telling of the timeline after it, for all of them.
	tellRemovalsTimeout = 10 * time.Second
)

// DockerThings says which images, by their ids, and volumes, by their names.
type DockerThings struct {
	Images  []string
	Volumes []string
	// UnusedImages and UnusedVolumes stand for all that nobody uses and that hold nobody's data, as many as one request may
	// remove.
	UnusedImages, UnusedVolumes bool
}

// Kinds of what can be removed from a Docker host.
const (
	KindImage  = "image"
	KindVolume = "volume"
)

// DockerRemoved is what became of an image or a volume that was to be removed.
type DockerRemoved struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"` // for people
	Size *int64 `json:"size"` // bytes; nil where it isn't known
	// Removed says that it is gone. Without it Detail says why not, and without either it would be removed.
	Removed bool   `json:"removed"`
	Detail  string `json:"detail"`
	Note    string `json:"note"` // what to know before; empty for nothing
}

// DockerRemoval is what became of a request to remove things from a Docker host.
type DockerRemoval struct {
	Node    string          `json:"node"` // id
	Name    string          `json:"name"`
	Results []DockerRemoved `json:"results"`
}

// RemoveFromDocker removes images and volumes of a Docker host that nobody uses, for administrators. Each is looked at for
// itself: some may be refused while others are removed. One that isn't there any more counts as removed. Unless really is
// set, it only tells what would become of them.
func (s *Service) RemoveFromDocker(ctx context.Context, a Actor, node string, things DockerThings, really bool) (out DockerRemoval, err error) {
	host, err := s.DockerOf(ctx, a, node)
	if err != nil {
		return out, err
	}
	if host.Error != "" {
		return out, state.Errorf(state.Unavailable, "Nothing can be removed from "+host.Name+". "+host.Error)
	}
	host.name(&things)
	switch n := len(things.Images) + len(things.Volumes); {
	case n == 0 && !things.UnusedImages && !things.UnusedVolumes:
		return out, state.Errorf(state.Invalid, "Name at least one image or volume.")
	case n > MaxDockerRemoval:
		return out, state.Errorf(state.Invalid, "Name "+strconv.Itoa(MaxDockerRemoval)+" images and volumes at most.")
	}
	r := s.newRemoval(a, host, things)
	if really && len(r.asked) > 0 {
		if err := r.begin(ctx); err != nil {
			return out, err
		}
		r.carryOut(ctx)
		r.tell(ctx)
	}
	return DockerRemoval{Node: host.ID, Name: host.Name, Results: r.all}, nil
}

// name names the unused things that are asked for.
func (h *DockerHost) name(t *DockerThings) {
	room := MaxDockerRemoval - len(t.Images) - len(t.Volumes)
	for _, i := range h.Images {
		if t.UnusedImages && i.Sweep && room > 0 {
			t.Images = append(t.Images, i.ID)
			room--
		}
	}
	for _, v := range h.Volumes {
		if t.UnusedVolumes && v.Sweep && room > 0 {
			t.Volumes = append(t.Volumes, v.Name)
			room--
		}
	}
}

// unique leaves out what is named again.
func unique(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// thing is an image or a volume of a Docker host.
type thing struct {
	kind, id, name string
	size           *int64
	users, tags    []string
	may            Removal
	volume         *DockerVolume // nil for an image
}

// thing finds what is named; ok is false where it isn't there.
func (h *DockerHost) thing(kind, id string) (t thing, ok bool) {
	t = thing{kind: kind, id: id, name: id}
	if kind == KindImage {
		for _, i := range h.Images {
			if i.ID == id {
				t.name, t.size, t.users, t.tags, t.may = i.Title(), &i.Size, i.UsedBy, i.Tags, i.Removal
				return t, true
			}
		}
		return t, false
	}
	for _, v := range h.Volumes {
		if v.Name == id {
			t.size, t.users, t.may, t.volume = v.Size, v.UsedBy, v.Removal, &v
			return t, true
		}
	}
	return t, false
}

// removal is one request.
type removal struct {
	*Service
	actor Actor
	host  DockerHost
	all   []DockerRemoved
	asked []thing        // what the host is asked for
	at    map[string]int // where its outcome belongs in all, by kind and id
	begun string         // id of the event that tells of the wish
}

// newRemoval looks at what is named. What can't be removed has its outcome at once.
func (s *Service) newRemoval(a Actor, host DockerHost, things DockerThings) *removal {
	r := &removal{Service: s, actor: a, host: host, at: make(map[string]int), all: []DockerRemoved{}}
	for _, id := range unique(things.Images) {
		r.take(KindImage, id)
	}
	for _, name := range unique(things.Volumes) {
		r.take(KindVolume, name)
	}
	return r
}

func (r *removal) take(kind, id string) {
	t, there := r.host.thing(kind, id)
	out := DockerRemoved{Kind: kind, ID: id, Name: t.name, Size: t.size, Note: t.may.Note}
	switch {
	case !there:
		out.Removed, out.Detail = true, goneBefore
	case len(t.users) > 0:
		out.Detail = "It is used by the Docker container " + t.users[0] + "."
	case !t.may.Can:
		out.Detail = cmp.Or(t.may.Note, "A Docker container uses it.")
	default:
		r.at[kind+id] = len(r.all)
		r.asked = append(r.asked, t)
	}
	r.all = append(r.all, out)
}

const goneBefore = "It was not there any more."

// begin makes the wish part of the timeline before anything is removed, and takes Kiosc's own volumes out of the state. One
// that a container has come to name meanwhile is left.
func (r *removal) begin(ctx context.Context) error {
	e := event(r.actor, appAdmin, "", "docker_remove", "remove "+r.summary()+" from the Docker host {node}", r.nodeObject())
	e.Status, r.begun = state.EventSubmit, e.ID
	if _, err := r.node.Propose(ctx, &state.Recorded{Event: e}); err != nil {
		return err
	}
	for _, t := range slices.Clone(r.asked) {
		if t.volume == nil || !t.volume.Ours {
			continue
		}
		_, err := r.node.Propose(ctx, &state.VolumeGivenUp{Project: t.volume.project, Name: t.volume.volume, Node: r.host.ID})
		var refused *state.Error
		switch {
		case err == nil:
		case errors.As(err, &refused) && refused.Code == state.Conflict:
			r.all[r.at[t.kind+t.id]].Detail = refused.Message
			r.asked = slices.DeleteFunc(r.asked, func(one thing) bool { return one.kind == t.kind && one.id == t.id })
		default:
			return err
		}
	}
	return nil
}

// summary counts what is asked for.
func (r *removal) summary() string {
	n := make(map[string]int)
	for _, t := range r.asked {
		n[t.kind]++
	}
	var parts []string
	for _, kind := range []string{KindImage, KindVolume} {
		switch n[kind] {
		case 0:
		case 1:
			parts = append(parts, "1 "+kind)
		default:
			parts = append(parts, strconv.Itoa(n[kind])+" "+kind+"s")
		}
	}
	return strings.Join(parts, " and ")
}

// carryOut asks the host. What it doesn't tell of is told as not known.
func (r *removal) carryOut(ctx context.Context) {
	if len(r.asked) == 0 {
		return
	}
	var wish wire.RemoveStock
	for _, t := range r.asked {
		r.all[r.at[t.kind+t.id]].Detail = "The Docker host has not told what became of it. Look at the list again."
		if t.kind == KindImage {
			wish.Images = append(wish.Images, wire.StockImageRemoval{ID: t.id, Tags: t.tags})
		} else {
			wish.Volumes = append(wish.Volumes, t.id)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, removalPatience)
	defer cancel()
	next := r.asked // images come first here, too
	err := r.stocks.RemoveStock(ctx, r.host.ID, &wish, func(told wire.StockRemoved) {
		if len(next) == 0 || next[0].id != told.ID {
			r.logger.Warn("a Docker host tells of a removal that it wasn't asked for", "node", r.host.Name, "id", told.ID)
			return
		}
		out := &r.all[r.at[next[0].kind+told.ID]]
		next = next[1:]
		out.Removed, out.Detail = told.Refused == "", told.Refused
		if told.Gone {
			out.Detail = goneBefore
		}
	})
	if err != nil {
		r.logger.Warn("a Docker host has not told all of what it was to remove", "node", r.host.Name, "error", err)
	}
}

// tell makes each outcome part of the timeline. Who asked may be gone by now; what was removed is told all the same.
func (r *removal) tell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellRemovalsTimeout)
	defer cancel()
	for _, t := range r.asked {
		one := r.all[r.at[t.kind+t.id]]
		if one.Removed && one.Detail != "" {
			continue // by somebody else
		}
		e := event(r.actor, appAdmin, "", "docker_remove_"+t.kind, "remove the "+t.kind+" {"+t.kind+"} ("+SizeText(t.size)+") from the Docker host {node}",
			state.EventObject{Label: t.kind, Name: t.name, Model: "Docker " + t.kind, ID: t.id}, r.nodeObject())
		e.Of = r.begun
		if !one.Removed {
			e.Status, e.Extra = state.EventFailed, map[string]string{"detail": one.Detail}
		}
		if _, err := r.node.Propose(ctx, &state.Recorded{Event: e}); err != nil {
			r.logger.Error("a removal was not told to the timeline", "node", r.host.Name, "kind", t.kind, "id", t.id, "removed", one.Removed, "error", err)
		}
	}
}

func (r *removal) nodeObject() state.EventObject {
	return state.EventObject{Label: "node", Name: r.host.Name, Model: "Node", ID: r.host.ID}
}

// SizeText is how large something is, for people.
func SizeText(size *int64) string {
	if size == nil {
		return "size unknown"
	}
	return units.BytesSize(float64(*size))
}

// Title is what people call an image: its tags, or the beginning of its id.
func (i *DockerImage) Title() string {
	if len(i.Tags) == 0 {
		return ShortDockerID(i.ID)
	}
	return strings.Join(i.Tags, ", ")
}

// ShortDockerID is a Docker id as Docker shows it.
func ShortDockerID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}
