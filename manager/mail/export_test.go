package mail

import "net/smtp"

// Secure secures a connection to a server that is on this machine, or isn't.
func (m *Mailer) Secure(client *smtp.Client, local bool) error { return m.secure(client, local) }
