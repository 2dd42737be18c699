package ldap

// Expand reads a filter of the settings and fills in a name.
func Expand(text, name string) (string, error) {
	f, err := parseFilter(text, wordUser)
	if err != nil {
		return "", err
	}
	return f.expand(map[string]string{wordUser: name}), nil
}
