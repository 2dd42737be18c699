package ldap

import (
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// The words that a filter of the settings may have, written as in Django: %(user)s.
const (
	wordUser = "user"
	wordDN   = "dn"
)

// filter is a filter of the settings, to be filled in. What is filled in is always the value of a comparison, or a part of
// one, and is escaped; so whatever it is, it can neither end the comparison nor match more than itself.
type filter struct {
	parts    []part
	operands []operand
}

// part is text, or a word that stands for a value.
type part struct{ text, word string }

// operand is a comparison with a word: the attribute, and what stands around the word in the value.
type operand struct{ attribute, before, after string }

// mark stands for a word while the filter is checked. It needs no escaping.
const mark = "kiosc-value-of-"

// parseFilter reads a filter with any of these words, and at least one of them. The error is half a sentence.
func parseFilter(text string, words ...string) (f filter, err error) {
	if text = strings.TrimSpace(text); !strings.HasPrefix(text, "(") {
		text = "(" + text + ")"
	}
	if f.parts, err = split(text, words); err != nil {
		return f, err
	}
	sample, count := "", 0
	for _, p := range f.parts {
		sample += p.text
		if p.word != "" {
			sample += mark + p.word
			count++
		}
	}
	if count == 0 {
		return f, fmt.Errorf("has no %%(%s)s, for which the name is filled in", words[0])
	}
	if strings.Count(sample, mark) != count {
		return f, fmt.Errorf("must not contain %q", mark)
	}
	compiled, err := ldap.CompileFilter(sample)
	if err != nil {
		return f, fmt.Errorf("is no LDAP filter: %w", err)
	}
	inValues := 0
	f.compare(compiled, words, &inValues)
	if inValues != count {
		return f, fmt.Errorf("may have %%(…)s only in what an attribute is compared with by = or :=")
	}
	return f, nil
}

// split cuts a filter at its words. %% is a percent sign, as in Django.
func split(text string, words []string) (parts []part, err error) {
	add := func(text string) {
		if n := len(parts); n > 0 && parts[n-1].word == "" {
			parts[n-1].text += text
		} else if text != "" {
			parts = append(parts, part{text: text})
		}
	}
next:
	for {
		before, rest, found := strings.Cut(text, "%")
		add(before)
		if !found {
			return parts, nil
		}
		if text, found = strings.CutPrefix(rest, "%"); found {
			add("%")
			continue
		}
		for _, word := range words {
			if text, found = strings.CutPrefix(rest, "("+word+")s"); found {
				parts = append(parts, part{word: word})
				continue next
			}
		}
		return nil, fmt.Errorf("has a %% that is neither %%(%s)s nor %%%%", strings.Join(words, ")s nor %("))
	}
}

// compare gathers the comparisons with words, and counts the words in them. Each is counted once only where it is all that
// a value has of words.
func (f *filter) compare(p *ber.Packet, words []string, inValues *int) {
	switch p.Tag {
	case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
		for _, child := range p.Children {
			f.compare(child, words, inValues)
		}
	case ldap.FilterEqualityMatch:
		f.operand(ber.DecodeString(p.Children[0].Data.Bytes()), ber.DecodeString(p.Children[1].Data.Bytes()), words, inValues)
	case ldap.FilterExtensibleMatch:
		attribute := ""
		for _, child := range p.Children {
			switch child.Tag {
			case ldap.MatchingRuleAssertionType:
				attribute = ber.DecodeString(child.Data.Bytes())
			case ldap.MatchingRuleAssertionMatchValue:
				f.operand(attribute, ber.DecodeString(child.Data.Bytes()), words, inValues)
			}
		}
	}
}

func (f *filter) operand(attribute, value string, words []string, inValues *int) {
	for _, word := range words {
		before, after, found := strings.Cut(value, mark+word)
		if found && !strings.Contains(after, mark) && !strings.Contains(before, mark) {
			*inValues++
			f.operands = append(f.operands, operand{attribute, before, after})
			return
		}
	}
}

// expand fills the words in.
func (f *filter) expand(values map[string]string) string {
	var b strings.Builder
	for _, p := range f.parts {
		b.WriteString(p.text)
		if p.word != "" {
			b.WriteString(ldap.EscapeFilter(values[p.word]))
		}
	}
	return b.String()
}
