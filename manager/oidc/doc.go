// Package oidc logs people in at an OpenID provider: discovery, the authorization code flow with PKCE, and what the
// provider says of who came.
//
// It owns the conversation with the provider. It keeps nothing of a login that is under way: that is an Attempt, which
// the caller keeps with the browser, so that a login can end at another manager than the one where it began. It knows no
// users, sessions or cookies, and doesn't decide who may come in.
//
// What must always hold:
//   - A Person comes only out of an ID token whose signature, issuer, audience, nonce and time are right, for a code that
//     came with the state of the same Attempt.
//   - Every request has a time limit, every answer a limit of length, and a provider that is down keeps nobody waiting for
//     more than one request's time.
//   - Errors are sentences for people. The causes go to the log, without codes, tokens or secrets.
package oidc
