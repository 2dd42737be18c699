package oidc

import "time"

// HurryUp has the client wait less for each answer.
func (c *Client) HurryUp(timeout time.Duration) { c.http.Timeout = timeout }
