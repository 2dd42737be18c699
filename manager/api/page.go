package api

import (
	"fmt"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
)

// pageSize is how many objects one page has; SODAR's default.
const pageSize = 100

// page is a part of a list.
type page[T any] struct {
	Count    int     `json:"count"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
	Results  []T     `json:"results"`
}

// list answers with all of a list, or with a page of it where the client asks for one, as SODAR does.
func list[V, T any](c *fiber.Ctx, all []V, show func(V) (T, error)) error {
	if c.Query("page") != "" {
		return paged(c, all, show)
	}
	out := make([]T, len(all))
	for i, v := range all {
		var err error
		if out[i], err = show(v); err != nil {
			return err
		}
	}
	return render(c, fiber.StatusOK, out)
}

// paged answers with a page of a list, the first where the client names none.
func paged[V, T any](c *fiber.Ctx, all []V, show func(V) (T, error)) error {
	pages := max(1, (len(all)+pageSize-1)/pageSize)
	number, err := strconv.Atoi(c.Query("page", "1"))
	if c.Query("page") == "last" {
		number, err = pages, nil
	}
	if err != nil || number < 1 || number > pages {
		return state.Errorf(state.NotFound, "Invalid page.")
	}
	link := func(n int) *string {
		address := c.BaseURL() + c.Path()
		switch {
		case n < 1 || n > pages:
			return nil
		case n > 1:
			address += fmt.Sprintf("?page=%d", n)
		}
		return &address
	}
	out := page[T]{Count: len(all), Next: link(number + 1), Previous: link(number - 1), Results: []T{}}
	for _, v := range all[(number-1)*pageSize : min(number*pageSize, len(all))] {
		shown, err := show(v)
		if err != nil {
			return err
		}
		out.Results = append(out.Results, shown)
	}
	return render(c, fiber.StatusOK, out)
}
