//go:build !race

package matrix_test

const everyTry = 1
