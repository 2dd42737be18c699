package webui

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kiosc/manager/service"
)

// perPage is how many containers a list shows at once: browsers need seconds to lay out a thousand.
const perPage = 200

// pager says which part of a list of containers is shown, and leads to the others.
type pager struct {
	Action     string // the list's address
	Find, Sort string // what was looked for, and how the list is sorted; empty for neither
	// Needed says that there is more than one page, or something was looked for.
	Needed        bool
	From, To, All int    // counted from 1
	Before, After string // addresses of the pages beside this; empty where there is none
	Here          string // address of this page
}

// pageOf finds what the address asks for, and cuts it to the page that it asks for; to the last one where there are fewer.
func pageOf(v *visit, address string, views []service.ContainerView) ([]service.ContainerView, pager) {
	p := pager{Action: address, Find: strings.TrimSpace(v.Query("find")), Sort: v.Query("sort")}
	p.Needed = len(views) > perPage || p.Find != ""
	if find := strings.ToLower(p.Find); find != "" {
		views = slices.DeleteFunc(views, func(c service.ContainerView) bool {
			return !strings.Contains(strings.ToLower(c.ProjectTitle+"\n"+c.Title+"\n"+c.Image()), find)
		})
	}
	last := max(1, (len(views)+perPage-1)/perPage)
	page := min(max(1, v.QueryInt("page", 1)), last)
	from, to := (page-1)*perPage, min(page*perPage, len(views))
	p.From, p.To, p.All = min(from+1, to), to, len(views)
	p.Here = p.address(p.Sort, page)
	if page > 1 {
		p.Before = p.address(p.Sort, page-1)
	}
	if page < last {
		p.After = p.address(p.Sort, page+1)
	}
	return views[from:to], p
}

// address is that of a page of what was looked for, sorted in some way.
func (p *pager) address(sort string, page int) string {
	query := url.Values{}
	for name, value := range map[string]string{"find": p.Find, "sort": sort} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if page > 1 {
		query.Set("page", strconv.Itoa(page))
	}
	if len(query) == 0 {
		return p.Action
	}
	return p.Action + "?" + query.Encode()
}
