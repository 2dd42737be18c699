//go:build race

package matrix_test

// everyTry is 11 under the race detector, which takes five times as long: enough for all kinds of requests to meet in all
// kinds of projects. It has no divisor in common with the number of people, so that everybody's turn comes. "make test"
// makes all tries without the detector as well.
const everyTry = 11
