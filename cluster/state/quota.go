package state

import (
	"math"
	"strconv"
	"time"
)

// Quota bounds what a project, or the whole site, may have. A nil number bounds nothing.
type Quota struct {
	// Running counts containers from the wish to start one until it is stopped.
	Running *int64
	// MilliCPUs (thousandths of a CPU) and MemoryBytes count the limits of these containers, and the reservation of one
	// without a limit. One that has neither can't be started where there is a quota.
	MilliCPUs, MemoryBytes *int64
	// FileBytes counts small files, uploads under way included.
	FileBytes *int64
}

// MaxQuota is more than anybody has of anything.
const MaxQuota = 1 << 50

func (q Quota) validate() error {
	f := fieldErrors{}
	for field, n := range map[string]*int64{"running": q.Running, "cpus": q.MilliCPUs, "memory": q.MemoryBytes, "files": q.FileBytes} {
		if n != nil && (*n < 0 || *n > MaxQuota) {
			f.add(field, "Give a number from 0, or nothing for no quota.")
		}
	}
	return f.err()
}

// Used is what counts against a quota for containers.
type Used struct {
	Running                int64
	MilliCPUs, MemoryBytes int64
}

// quotaSite is the key of the whole site's quota and use; no project has this id.
const quotaSite = "site"

// QuotaSet replaces the quota of a project, or the site's where Project is empty. What runs goes on. Applied, it returns
// the Quota.
type QuotaSet struct {
	Project string
	Quota   Quota
	User    string // name of who has set it
	At      time.Time
}

func (c *QuotaSet) apply(tx *Tx) (any, error) {
	if err := c.Quota.validate(); err != nil {
		return nil, err
	}
	if c.Project == "" {
		return c.Quota, tx.put(bucketQuotas, []byte(quotaSite), c.Quota)
	}
	p, ok, err := tx.Project(c.Project)
	if err != nil || !ok {
		return nil, orNotFound(err, "There is no such project.")
	}
	if p.Type != TypeProject {
		return nil, Errorf(Invalid, "A category has no containers and no files, so it has no quota either.")
	}
	return c.Quota, tx.put(bucketQuotas, []byte(c.Project), c.Quota)
}

// QuotaOf returns the quota of a project, and what is used of it.
func (tx *Tx) QuotaOf(project string) (q Quota, used Used, err error) {
	if q, _, err = get[Quota](tx, bucketQuotas, []byte(project)); err == nil {
		used, _, err = get[Used](tx, bucketUsed, []byte(project))
	}
	return q, used, err
}

// SiteQuota is QuotaOf for the whole site.
func (tx *Tx) SiteQuota() (Quota, Used, error) { return tx.QuotaOf(quotaSite) }

// removeQuota forgets the quota of a project that goes.
func (tx *Tx) removeQuota(project string) error { return tx.delete(bucketQuotas, []byte(project)) }

// counts tells whether the container counts as running: from the wish to start it until it is stopped.
func (c *Container) counts() bool {
	if c.Pending() && (c.Action == Stop || c.Action == Delete) {
		return c.State == Running || c.State == Restarting || c.State == Paused || c.State == Pulling || c.State == Created
	}
	return c.active()
}

// used is what the container takes of quotas.
func (c *Container) used() (u Used) {
	if c == nil || !c.counts() {
		return u
	}
	return Used{1, orOther(c.LimitMilliCPUs, c.ReservedMilliCPUs), orOther(c.LimitMemory, c.ReservedMemory)}
}

func orOther(n, other int64) int64 {
	if n == 0 {
		return other
	}
	return n
}

func (u Used) plus(sign int64, v Used) Used {
	return Used{u.Running + sign*v.Running, u.MilliCPUs + sign*v.MilliCPUs, u.MemoryBytes + sign*v.MemoryBytes}
}

// countUse keeps what is used in step with a container's record. old is nil for a new one, c for one that goes.
func countUse(tx *Tx, old, c *Container) error {
	change := c.used().plus(-1, old.used())
	if change == (Used{}) {
		return nil
	}
	project := ""
	if c != nil {
		project = c.Project
	} else {
		project = old.Project
	}
	for _, key := range []string{project, quotaSite} {
		u, _, err := get[Used](tx, bucketUsed, []byte(key))
		if err != nil {
			return err
		}
		if u = u.plus(1, change); u == (Used{}) {
			err = tx.delete(bucketUsed, []byte(key))
		} else {
			err = tx.put(bucketUsed, []byte(key), u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkQuota refuses a change of a container by which more of a quota would be used than there is. It must be asked
// before anything is written. Whatever leaves the use as it is, or makes it less, is allowed also beyond a quota.
func (tx *Tx) checkQuota(old, c *Container) error {
	more := c.used().plus(-1, old.used())
	if more.Running <= 0 && more.MilliCPUs <= 0 && more.MemoryBytes <= 0 {
		return nil
	}
	for _, of := range []struct{ key, whose string }{{c.Project, "this project"}, {quotaSite, "this site"}} {
		q, used, err := tx.QuotaOf(of.key)
		if err != nil {
			return err
		}
		if err := q.check(used, more, c.used(), of.whose); err != nil {
			return err
		}
	}
	return nil
}

// check refuses more where used is up. whole is what the container has then.
func (q Quota) check(used, more, whole Used, whose string) error {
	const remedy = " Stop a container that nobody needs, or ask the people who run this site for more."
	switch {
	case q.Running != nil && more.Running > 0 && used.Running+more.Running > *q.Running:
		return Errorf(Conflict, "The quota of "+whose+" is used up: "+amount(used.Running)+" of "+amount(*q.Running)+" containers run or start."+remedy)
	case q.MilliCPUs != nil && whole.MilliCPUs == 0:
		return Errorf(Conflict, "There is a quota of CPUs for "+whose+". Give the container a CPU limit or reservation, then start it.")
	case q.MilliCPUs != nil && more.MilliCPUs > 0 && used.MilliCPUs+more.MilliCPUs > *q.MilliCPUs:
		return Errorf(Conflict, "The quota of "+whose+" has no room for "+cpus(more.MilliCPUs)+" CPUs: "+cpus(used.MilliCPUs)+" of "+cpus(*q.MilliCPUs)+" are used."+remedy)
	case q.MemoryBytes != nil && whole.MemoryBytes == 0:
		return Errorf(Conflict, "There is a quota of memory for "+whose+". Give the container a memory limit or reservation, then start it.")
	case q.MemoryBytes != nil && more.MemoryBytes > 0 && used.MemoryBytes+more.MemoryBytes > *q.MemoryBytes:
		return Errorf(Conflict, "The quota of "+whose+" has no room for "+roughSize(more.MemoryBytes)+" of memory: "+roughSize(used.MemoryBytes)+" of "+roughSize(*q.MemoryBytes)+" are used."+remedy)
	}
	return nil
}

func amount(n int64) string { return strconv.FormatInt(n, 10) }

func cpus(milli int64) string { return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) }

// roughSize is a number of bytes in its largest unit.
func roughSize(n int64) string {
	for _, unit := range []struct {
		bytes float64
		name  string
	}{{1 << 30, " GiB"}, {1 << 20, " MiB"}, {1 << 10, " KiB"}} {
		if float64(n) >= unit.bytes {
			return strconv.FormatFloat(math.Round(float64(n)/unit.bytes*10)/10, 'f', -1, 64) + unit.name
		}
	}
	return amount(n) + " bytes"
}

// checkFileQuota refuses so many bytes more of small files in a project where the project's or the site's quota has no
// room for them.
func (tx *Tx) checkFileQuota(project string, more int64) error {
	for _, of := range []struct{ key, usage, whose string }{{project, project, "this project"}, {quotaSite, siteUsage, "this site"}} {
		q, _, err := tx.QuotaOf(of.key)
		if err != nil {
			return err
		}
		used, err := tx.FileUsageOf(of.usage)
		if err != nil {
			return err
		}
		if q.FileBytes != nil && used.Bytes+more > *q.FileBytes {
			return fileError("There is no room for this file: the small files of " + of.whose + " may have " + roughSize(*q.FileBytes) +
				" together. Delete some that nobody needs, or ask the people who run this site.")
		}
	}
	return nil
}
