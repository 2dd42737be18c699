// Package state holds Kiosc's domain types and the replicated state in one bbolt file: typed commands in, queries out.
//
// It owns what is true for the whole cluster: users, projects, roles, containers with what they should be and what
// they were last seen as, nodes, logs and small files. It knows no network, no Docker and no Raft; it imports nothing of Kiosc's.
//
// What must always hold:
//   - A command either changes everything that it says or nothing. Applying the same commands in the same order gives
//     the same state on every node, so no command reads a clock, a random source or anything outside its fields.
//   - A command's number, and the meaning of its fields, never change once released. New fields are optional.
//   - Secret values reach a command only sealed (environment) or hashed (passwords, tokens, sessions).
//
// One file per object holds its type, its limits and Validate, its commands and its queries.
package state
