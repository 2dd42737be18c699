package proxy

import (
	"errors"
	"net/http"
	"os"
	"time"
)

const (
	// probeField marks the question of Kiosc's own pages whether an app
	// answers. Scripts of other origins cannot send it.
	probeField = "Kiosc-Probe"
	// probeTimeout is how long an app may think about it. One that thinks for
	// longer has begun to work.
	probeTimeout = 10 * time.Second
)

// probe asks an app for a page and tells whether it answered, and nothing of
// what.
func (s *Server) probe(c *client, req *request, at place, who Credentials) *answer {
	req.header.Del("Accept") // of a page; the answer here is for a script
	target, conn, refusal := s.reach(c, req, at, who, true)
	if refusal != nil {
		return refusal
	}
	defer s.loads.leave(target.Container)
	defer c.attach(nil, visit{})
	defer conn.kill()
	c.attach(conn, visit{who, at.id})
	_ = conn.SetDeadline(time.Now().Add(probeTimeout))
	question := *req
	question.header = req.header.Clone()
	question.header.Del(probeField)
	question.header.Set("Accept", "text/html")
	x := &exchange{s: s, req: &question, target: target, rest: at.forApp(target), prefix: at.prefix, backend: conn}
	err := x.sendHead()
	var resp *http.Response
	if err == nil {
		conn.limitHead()
		resp, err = http.ReadResponse(conn.br, nil)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
	case err != nil:
		s.failed(c, target, visit{who, at.id}, err, true)
		return unreachable(req, target, http.StatusBadGateway)
	case resp.StatusCode == http.StatusBadGateway, resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
		return unreachable(req, target, resp.StatusCode)
	}
	a := newAnswer(http.StatusOK)
	a.json("The app answers.")
	return a
}
