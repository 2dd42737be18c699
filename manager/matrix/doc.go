// Package matrix has no code but a test: it walks every role × every operation × every interface of a manager, and compares
// what happens with the matrix in docs/access.md.
//
// It owns the table of operations. Each route of pages and API is in that table, or in the short list of routes that need no
// right, so that a new route can't be forgotten.
package matrix
