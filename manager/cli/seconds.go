package cli

import (
	"fmt"
	"strconv"
	"time"
)

// seconds is a flag's value: a number of seconds, as the original has it, or an interval such as 500ms.
type seconds time.Duration

// String gives the value back.
func (s *seconds) String() string { return time.Duration(*s).String() }

// Type names the value's form in the help.
func (s *seconds) Type() string { return "seconds" }

// Set reads the value.
func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, errNumber := strconv.Atoi(text); errNumber == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > longest {
		return fmt.Errorf("%q is neither a number of seconds nor an interval such as 500ms, up to %s", text, longest)
	}
	*s = seconds(d)
	return nil
}

// longest bounds what is set in seconds.
const longest = time.Hour
