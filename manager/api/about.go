package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"kiosc/manager/auth"
)

// about tells what a method of an address does, for the description of the API.
type about struct {
	summary string
	// right is what the caller needs; empty for nothing but to be known.
	right auth.Right
	query []query
	// in has the fields of the body, as a value of a struct type; nil for none. needs are those that can't be left out.
	in    any
	needs []string
	// file says that the body may be a form with a file.
	file bool
	// out has the fields of the answer; nil for an answer without a body.
	out any
	// status is that of success; 0 for 200.
	status int
	// also are other statuses that say something of their own, with what that is.
	also map[int]string
	// text is the type of an answer that isn't JSON.
	text string
}

// query is a parameter of an address. Its kind is JSON schema's.
type query struct{ name, kind, about string }

// either is an answer of one of two types, by what the request asks for.
type either struct{ one, other any }

// listOf is the answer of list: everything, or a page of it.
func listOf[T any]() either { return either{[]T{}, page[T]{}} }

var pageQuery = query{"page", "integer", "a page of 100, from 1 on, instead of the whole list"}

// address is one that was added, for describing it.
type address struct {
	api  *API
	path string
}

// described is a method of an address with what it does.
type described struct {
	method, path string
	about
}

// is describes a method of the address.
func (a address) is(method string, text about) address {
	a.api.described = append(a.api.described, described{method, a.path, text})
	return a
}

// get, post and the others describe the method of that name.
func (a address) get(text about) address   { return a.is(fiber.MethodGet, text) }
func (a address) post(text about) address  { return a.is(fiber.MethodPost, text) }
func (a address) put(text about) address   { return a.is(fiber.MethodPut, text) }
func (a address) patch(text about) address { return a.is(fiber.MethodPatch, text) }
func (a address) del(text about) address   { return a.is(fiber.MethodDelete, text) }

// addressOf is where a path of a router is.
func (a *API) addressOf(r fiber.Router, path string) address {
	if group, ok := r.(*fiber.Group); ok {
		path = strings.TrimSuffix(group.Prefix, "/") + path
	}
	return address{a, path}
}
