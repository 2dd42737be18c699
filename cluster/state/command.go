package state

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// A Command is one intent to change the state. Everything that could differ between nodes (time, ids, random values)
// is made before the command is proposed and lies in its fields.
//
// apply reads the clock never and Docker never. It returns an *Error where a rule forbids the change, and then nothing
// of the command remains in the state.
type Command interface {
	apply(tx *Tx) (any, error)
}

// Kind is a command's number in the Raft log. Numbers are never reused.
type Kind byte

// kinds is the table of all commands. Each has one number for ever.
var kinds = map[Kind]func() Command{
	1:  func() Command { return &ClusterInitialized{} },
	2:  func() Command { return &JoinTokenSet{} },
	3:  func() Command { return &Synced{} },
	4:  func() Command { return &ClusterRestored{} },
	10: func() Command { return &UserCreated{} },
	11: func() Command { return &SessionOpened{} },
	12: func() Command { return &SessionClosed{} },
	13: func() Command { return &TokenCreated{} },
	14: func() Command { return &TokenDeleted{} },
	15: func() Command { return &UserChanged{} },
	16: func() Command { return &SessionsClosed{} },
	19: func() Command { return &AppCodeUsed{} },
	20: func() Command { return &ProjectCreated{} },
	21: func() Command { return &ProjectChanged{} },
	22: func() Command { return &ProjectDeleted{} },
	23: func() Command { return &RoleAssigned{} },
	24: func() Command { return &RoleRemoved{} },
	25: func() Command { return &OwnershipTransferred{} },
	26: func() Command { return &GroupRolesSet{} },
	27: func() Command { return &InviteCreated{} },
	28: func() Command { return &InviteRevoked{} },
	29: func() Command { return &InviteAccepted{} },
	30: func() Command { return &ContainerCreated{} },
	31: func() Command { return &ActionRequested{} },
	32: func() Command { return &ContainerPlaced{} },
	33: func() Command { return &ContainerReported{} },
	34: func() Command { return &ContainerLost{} },
	35: func() Command { return &ContainerMoveRequested{} },
	36: func() Command { return &AppsAccessed{} },
	37: func() Command { return &ContainerUpdated{} },
	40: func() Command { return &NodeRegistered{} },
	41: func() Command { return &NodeHealthChanged{} },
	42: func() Command { return &NodeAvailabilitySet{} },
	43: func() Command { return &NodeLabelled{} },
	44: func() Command { return &NodeRemoved{} },
	45: func() Command { return &ManagerVoteSet{} },
	50: func() Command { return &LogAppended{} },
	51: func() Command { return &LogLimitsSet{} },
	90: func() Command { return &FolderAdded{} },
	91: func() Command { return &FolderChanged{} },
	92: func() Command { return &FolderRemoved{} },
	93: func() Command { return &ChunkUploaded{} },
	94: func() Command { return &UploadsDropped{} },
	95: func() Command { return &FileAdded{} },
	96: func() Command { return &FileReplaced{} },
	97: func() Command { return &FileChanged{} },
	98: func() Command { return &FileRemoved{} },
	60: func() Command { return &IdentityTaken{} },
	61: func() Command { return &UserGone{} },
	65: func() Command { return &SubjectForgotten{} },
	70: func() Command { return &RegistrySet{} },
	71: func() Command { return &RegistryRemoved{} },
	72: func() Command { return &TemplateCreated{} },
	73: func() Command { return &TemplateUpdated{} },
	74: func() Command { return &TemplateDeleted{} },
	75: func() Command { return &TemplateCopied{} },
	80: func() Command { return &TaskRan{} },
	81: func() Command { return &QuotaSet{} },
	82: func() Command { return &ActionWanted{} },
	83: func() Command { return &RetriesForgiven{} },
	84: func() Command { return &ContainersBusy{} },
	// 100 to 102 are the timeline's.
	100: func() Command { return &Recorded{} },
	101: func() Command { return &EventsPruned{} },
	102: func() Command { return &CredentialsUsed{} },
	103: func() Command { return &VolumeGivenUp{} },
	104: func() Command { return &AccessesFailed{} },
	105: func() Command { return &ImageAllowListSet{} },
	108: func() Command { return &RetriesGivenUp{} },
	109: func() Command { return &OrphanNoted{} },
	110: func() Command { return &UpstreamTaken{} },
	111: func() Command { return &UpstreamSynced{} },
	112: func() Command { return &RemoteSiteSet{} },
	113: func() Command { return &RemoteSiteRemoved{} },
	114: func() Command { return &RemoteProjectsGiven{} },
}

// commandFormat is the first byte of every encoded command.
const commandFormat = 1

// flagSkippable marks a command that a node which doesn't know its kind may pass over. Any other unknown kind stops
// the node, because going on would let its state diverge.
const flagSkippable = 1

// ErrUnknownCommand says that the log holds a command which this kiosc doesn't know and must not pass over.
var ErrUnknownCommand = errors.New("the log holds a command that this kiosc does not know; use a newer kiosc")

// Encode gives a command's bytes for the Raft log: format, kind, flags, then CBOR.
func Encode(c Command) ([]byte, error) {
	kind, ok := kindOf(c)
	if !ok {
		return nil, fmt.Errorf("command %T is not in the table", c)
	}
	body, err := encMode.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", c, err)
	}
	return append([]byte{commandFormat, byte(kind), 0}, body...), nil
}

func kindOf(c Command) (Kind, bool) {
	want := fmt.Sprintf("%T", c)
	k, ok := kindByType[want]
	return k, ok
}

var kindByType = func() map[string]Kind {
	m := make(map[string]Kind, len(kinds))
	for k, make := range kinds {
		m[fmt.Sprintf("%T", make())] = k
	}
	return m
}()

// Decode is the reverse of Encode. It returns nil for a command that may be passed over.
func Decode(raw []byte) (Command, error) {
	if len(raw) < 3 {
		return nil, fmt.Errorf("a command of %d bytes", len(raw))
	}
	make, ok := kinds[Kind(raw[1])]
	if raw[0] != commandFormat || !ok {
		if raw[0] == commandFormat && raw[2]&flagSkippable != 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("%w (format %d, kind %d)", ErrUnknownCommand, raw[0], raw[1])
	}
	c := make()
	if err := decMode.Unmarshal(raw[3:], c); err != nil {
		return nil, fmt.Errorf("decoding %T: %w", c, err)
	}
	return c, nil
}

// Entry is one command with its place in the Raft log.
type Entry struct {
	Index   uint64
	Command Command
}

// Result is what became of one command.
type Result struct {
	// Value is what the command returns, such as the changed object.
	Value any
	// Err is an *Error where a rule forbade the command.
	Err error
}

// Apply applies a batch in one transaction, in order, and returns one result each. Entries at or below AppliedIndex
// are passed over. A returned error means that the state file can't be written or is damaged: the node must stop.
func (s *Store) Apply(batch []Entry) ([]Result, error) {
	results, touched, err := s.applyAll(batch)
	if errors.Is(err, errRedo) {
		// A command was refused after it had begun to write. Each is applied by itself, so that only that one is
		// rolled back; the outcome is the same on every node.
		results, touched = nil, nil
		for i := range batch {
			one, t, err := s.applyAll(batch[i : i+1])
			if err != nil {
				return nil, err
			}
			results = append(results, one...)
			for topic := range t {
				if touched == nil {
					touched = make(map[string]struct{})
				}
				touched[topic] = struct{}{}
			}
		}
	} else if err != nil {
		return nil, err
	}
	s.watches.notify(touched)
	return results, nil
}

// errRedo asks for a batch to be applied one by one.
var errRedo = errors.New("a command was refused half-way")

func (s *Store) applyAll(batch []Entry) ([]Result, map[string]struct{}, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var results []Result
	var touched map[string]struct{}
	last := s.AppliedIndex()
	err := s.db.Update(func(btx *bolt.Tx) error {
		tx := &Tx{btx: btx}
		for _, entry := range batch {
			result, err := applyOne(tx, entry, last)
			if err != nil {
				return err
			}
			if result.Err != nil && tx.dirty && len(batch) > 1 {
				return errRedo
			}
			if result.Err != nil && tx.dirty {
				results = []Result{result}
				return errRefused
			}
			results = append(results, result)
			last = max(last, entry.Index)
		}
		touched = tx.touched
		return btx.Bucket(bucketMeta).Put(metaIndex, be64(last))
	})
	if errors.Is(err, errRefused) {
		// Only the index moves on.
		last, touched = max(last, batch[0].Index), nil
		err = s.db.Update(func(btx *bolt.Tx) error { return btx.Bucket(bucketMeta).Put(metaIndex, be64(last)) })
	}
	if err != nil {
		return nil, nil, err
	}
	s.setIndex(last)
	return results, touched, nil
}

// errRefused rolls back a single refused command.
var errRefused = errors.New("the command was refused")

// applyOne returns an error only where the node can't go on.
func applyOne(tx *Tx, entry Entry, last uint64) (Result, error) {
	if entry.Command == nil || entry.Index <= last {
		return Result{}, nil
	}
	tx.dirty = false
	value, err := entry.Command.apply(tx)
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		return Result{}, fmt.Errorf("applying %T at index %d: %w", entry.Command, entry.Index, err)
	}
	return Result{Value: value, Err: err}, nil
}
