// Package upstream takes projects, users and roles over from another site, as SODAR's remote project API gives them, and makes
// the answers of that API for sites that take over from this one.
//
// It owns the form of the answers, how one is asked for and checked, and what has to change here. It decides neither when a sync
// runs, which is manager/tasks', nor who may ask, which is manager/service's.
//
// What must always hold:
//   - An answer is checked whole before anything is changed. One that is broken, cut off, too large or of another form changes
//     nothing.
//   - A sync with an answer that was taken over before proposes no command that changes a user, a project or a role.
//   - The secret, which is a part of the address that is asked, appears in no error and no log.
package upstream
