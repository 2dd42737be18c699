package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kiosc/manager/mail"
	"kiosc/manager/service"
)

// mailVariable has the mail server's address, which no flag takes: its password would stand in the list of processes.
const mailVariable = "EMAIL_URL"

// mailFlags say how mails are sent. They must be the same on all managers.
type mailFlags struct {
	sender, prefix string
	fromVariable   func(string) string
}

func (f *mailFlags) add(cmd *cobra.Command) {
	f.fromVariable = os.Getenv
	cmd.Flags().StringVar(&f.sender, "email-sender", "", "address that mails are from; the server is in the variable "+mailVariable+" (EMAIL_SENDER)")
	cmd.Flags().StringVar(&f.prefix, "email-subject-prefix", "[Kiosc]", "how subjects of mails begin (EMAIL_SUBJECT_PREFIX)")
}

// mailer is nil where no mail server is set.
func (f *mailFlags) mailer() (service.Mailer, error) {
	url := f.fromVariable(mailVariable)
	if url == "" {
		return nil, nil
	}
	m, err := mail.New(mail.Config{URL: url, Sender: f.sender, SubjectPrefix: f.prefix})
	if err != nil {
		return nil, fmt.Errorf("%s and --email-sender: %w", mailVariable, err)
	}
	return m, nil
}
