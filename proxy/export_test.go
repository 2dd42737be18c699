package proxy

// ParseHead lets the fuzz target compare the strict check with net/http.
func ParseHead(raw []byte) (method, host string, length int64, err error) {
	r, err := parseHead(raw)
	if err != nil {
		return "", "", 0, err
	}
	return r.method, r.host, r.length, nil
}
