package state

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	bucketTemplates      = bucket("templates")       // template id → Template
	bucketTemplateTitles = bucket("template_titles") // project id or "" for the site, title → template id
)

// Template is a definition to make containers of: one of the site, or of a project. It has no secret values: those of
// SecretKeys read Masked, for whoever makes a container to enter.
type Template struct {
	ID      string
	Project string // empty for one of the site
	// Spec's title is unique in the project or among the site's; its image may be left open.
	Spec
	// Source is the template of the site that this one is a copy of, perhaps through others; it may be gone. Empty for none.
	Source     string
	CreatedAt  time.Time
	ModifiedAt time.Time
}

// maxTemplates bounds the templates of a project, and those of the site.
const maxTemplates = 1000

func (t *Template) titleKey() []byte { return key(t.Project, t.Title) }

// titleTaken refuses a title that another template in the same place has.
func (t *Template) titleTaken(tx *Tx) error {
	if id := tx.btx.Bucket(bucketTemplateTitles).Get(t.titleKey()); id == nil || string(id) == t.ID {
		return nil
	}
	return &Error{Code: Invalid, Message: "There is a template of this title here already.",
		Fields: map[string][]string{"title": {"Container Template with this Title already exists."}}}
}

func (t *Template) save(tx *Tx) error {
	if err := tx.putRaw(bucketTemplateTitles, t.titleKey(), []byte(t.ID)); err != nil {
		return err
	}
	return tx.put(bucketTemplates, []byte(t.ID), t)
}

func (t *Template) remove(tx *Tx) error {
	if err := tx.delete(bucketTemplateTitles, t.titleKey()); err != nil {
		return err
	}
	return tx.delete(bucketTemplates, []byte(t.ID))
}

// TemplateCreated adds a template. Applied, it returns the Template.
type TemplateCreated struct {
	Template Template
}

func (c *TemplateCreated) apply(tx *Tx) (any, error) {
	t := c.Template
	if err := t.ValidateTemplate(); err != nil {
		return nil, err
	}
	if err := t.room(tx); err != nil {
		return nil, err
	}
	if err := t.titleTaken(tx); err != nil {
		return nil, err
	}
	return t, t.save(tx)
}

// room refuses a template where its project doesn't exist, or has too many.
func (t *Template) room(tx *Tx) error {
	if t.Project != "" {
		project, ok, err := tx.Project(t.Project)
		if err != nil || !ok || project.Type != TypeProject {
			return orNotFound(err, "There is no such project.")
		}
	}
	there, err := tx.TemplatesOf(t.Project)
	if err != nil {
		return err
	}
	if len(there) >= maxTemplates {
		return Errorf(TooMany, "There are "+itoa(maxTemplates)+" templates here. Delete one that nobody needs first.")
	}
	return nil
}

// TemplateUpdated gives a template a new definition; containers that were made of it stay as they are. Applied, it returns
// the Template.
type TemplateUpdated struct {
	ID   string
	Spec Spec
	// Seen is Template.ModifiedAt as the user saw it: an update that is based on an older definition is refused.
	Seen time.Time
	Time time.Time
}

func (c *TemplateUpdated) apply(tx *Tx) (any, error) {
	t, ok, err := tx.Template(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such template.")
	}
	if !t.ModifiedAt.Equal(c.Seen) {
		return nil, Errorf(Conflict, "Somebody else has changed this template in the meantime. Look at it as it is now, and make your changes again.")
	}
	if err := c.Spec.ValidateTemplate(); err != nil {
		return nil, err
	}
	former := t.titleKey()
	t.Spec = c.Spec
	if t.ModifiedAt = c.Time; !c.Time.After(c.Seen) {
		t.ModifiedAt = c.Seen.Add(1)
	}
	if err := t.titleTaken(tx); err != nil {
		return nil, err
	}
	if err := tx.delete(bucketTemplateTitles, former); err != nil {
		return nil, err
	}
	return t, t.save(tx)
}

// TemplateDeleted deletes a template. Containers and templates that were made of it stay, and their link leads nowhere.
type TemplateDeleted struct {
	ID string
}

func (c *TemplateDeleted) apply(tx *Tx) (any, error) {
	t, ok, err := tx.Template(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such template.")
	}
	return t, t.remove(tx)
}

// TemplateCopied makes a template of another one, under the first free name: the title with the word in brackets, then
// with a number behind the word. Applied, it returns the new Template.
type TemplateCopied struct {
	ID, From string
	Project  string // where the copy goes; empty for the site
	Word     string // Duplicate or Copy
	Time     time.Time
}

func (c *TemplateCopied) apply(tx *Tx) (any, error) {
	t, ok, err := tx.Template(c.From)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such template.")
	}
	if t.Project == "" && c.Project != "" {
		t.Source = t.ID
	}
	t.ID, t.Project, t.CreatedAt, t.ModifiedAt = c.ID, c.Project, c.Time, c.Time
	if err := t.room(tx); err != nil {
		return nil, err
	}
	title := t.Title
	for n := 1; ; n++ {
		behind := " (" + c.Word + ")"
		if n > 1 {
			behind = " (" + c.Word + " " + itoa(n) + ")"
		}
		t.Title = shortened(title, MaxTitle-len(behind)) + behind
		if t.titleTaken(tx) == nil {
			return t, t.save(tx)
		}
	}
}

// shortened is text of at most n bytes, cut between characters.
func shortened(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.TrimSpace(text[:n])
}

// Template returns a template by id.
func (tx *Tx) Template(id string) (t Template, ok bool, err error) {
	return get[Template](tx, bucketTemplates, []byte(id))
}

// TemplatesOf returns a project's templates, or the site's for an empty id, by title.
func (tx *Tx) TemplatesOf(project string) (list []Template, err error) {
	c := tx.btx.Bucket(bucketTemplateTitles).Cursor()
	prefix := key(project, "")
	for k, id := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, id = c.Next() {
		t, ok, err := tx.Template(string(id))
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(a, b Template) int { return strings.Compare(a.Title, b.Title) })
	return list, nil
}

// removeTemplatesOf deletes the templates of a project that goes.
func (tx *Tx) removeTemplatesOf(project string) error {
	list, err := tx.TemplatesOf(project)
	if err != nil {
		return err
	}
	for _, t := range list {
		if err := t.remove(tx); err != nil {
			return err
		}
	}
	return nil
}
