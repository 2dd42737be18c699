package state

import (
	"errors"
	"strings"
)

// MaxConstraints is how many conditions a container may put on its node.
const MaxConstraints = 16

// Constraint is one condition that a node must meet to have a container, as in Docker Swarm: node.id, node.name or
// node.labels.KEY, then == or !=, then the value. A missing label equals no value.
type Constraint struct {
	Key   string // id, name, or labels.KEY
	Equal bool
	Value string
}

var errConstraint = errors.New("write a constraint as node.labels.gpu == true, node.name != host-1 or node.id == …")

// ParseConstraint reads a constraint's text.
func ParseConstraint(text string) (c Constraint, err error) {
	left, right, ok := strings.Cut(text, "==")
	c.Equal = ok
	if !ok {
		if left, right, ok = strings.Cut(text, "!="); !ok {
			return c, errConstraint
		}
	}
	c.Key, ok = strings.CutPrefix(strings.TrimSpace(left), "node.")
	c.Value = strings.TrimSpace(right)
	label, labelled := strings.CutPrefix(c.Key, "labels.")
	switch {
	case !ok, c.Value == "", len(c.Value) > MaxLabel, strings.ContainsAny(c.Value, "=!\r\n\x00"):
		return c, errConstraint
	case labelled && !labelKey(label), !labelled && c.Key != "id" && c.Key != "name":
		return c, errConstraint
	}
	return c, nil
}

func (c Constraint) String() string {
	operator := " != "
	if c.Equal {
		operator = " == "
	}
	return "node." + c.Key + operator + c.Value
}

// Met tells whether the node meets the condition.
func (c Constraint) Met(n *Node) bool {
	var value string
	has := true
	switch label, labelled := strings.CutPrefix(c.Key, "labels."); {
	case labelled:
		value, has = n.AllLabels()[label]
	case c.Key == "id":
		value = n.ID
	default:
		value = n.Name
	}
	return (has && value == c.Value) == c.Equal
}
