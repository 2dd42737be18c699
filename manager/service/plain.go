package service

import "strings"

// plain is a line as a terminal would leave it, without its colours: escape sequences and other control characters are
// removed, and of what a progress bar overwrote the last is shown.
func plain(text string) string {
	if strings.IndexFunc(text, isControl) < 0 {
		return text
	}
	text = strings.TrimRight(text, "\r\n")
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); {
		if text[i] == 0x1b {
			i += escapeLen(text[i:])
			continue
		}
		n := 1
		for i+n < len(text) && text[i+n] != 0x1b {
			n++
		}
		for _, r := range text[i : i+n] {
			if !isControl(r) {
				b.WriteRune(r)
			}
		}
		i += n
	}
	return b.String()
}

func isControl(r rune) bool { return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 }

// escapeLen is the length of the escape sequence that text begins with.
func escapeLen(text string) int {
	if len(text) < 2 {
		return len(text)
	}
	switch text[1] {
	case '[': // CSI: parameters, then one letter or the like
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				return i + 1
			}
			if text[i] < 0x20 || text[i] > 0x3f {
				return i
			}
		}
		return len(text)
	case ']', 'P', '_', '^', 'X': // a string, which BEL or ESC \ ends
		for i := 2; i < len(text); i++ {
			if text[i] == 0x07 {
				return i + 1
			}
			if text[i] == 0x1b {
				if i+1 < len(text) && text[i+1] == '\\' {
					return i + 2
				}
				return i
			}
		}
		return len(text)
	case '(', ')', '*', '+', '#', ' ': // one more
		return min(3, len(text))
	}
	if text[1] < 0x80 {
		return 2
	}
	return 1
}
