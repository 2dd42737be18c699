package agent

import (
	"context"
	"errors"
	"time"

	"kiosc/cluster/wire"
)

const (
	// renewLook bounds the wait for the next renewal, because a machine that slept wakes up with old timers; renewRetry
	// is the wait after one that failed.
	renewLook  = time.Hour
	renewRetry = 5 * time.Second
	// renewTimeout bounds one manager's answer.
	renewTimeout = 30 * time.Second
)

var errNobody = errors.New("no manager is connected")

// renew keeps the certificate young, until ctx ends.
func (a *Agent) renew(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		wait := time.Until(a.cfg.Credentials.Identity().RenewAt())
		if wait <= 0 {
			wait = jitter(renewRetry)
			if err := a.renewOnce(ctx); err != nil && ctx.Err() == nil {
				a.logger.Warn("the certificate could not be renewed; trying again", "error", err)
			} else if err == nil {
				a.logger.Info("renewed the certificate")
			}
		}
		timer.Reset(min(wait, renewLook))
	}
}

// renewOnce asks one manager after the other.
func (a *Agent) renewOnce(ctx context.Context) error {
	err := errNobody
	for _, l := range a.links.all() {
		if err = l.renew(ctx); err == nil {
			return nil
		}
	}
	return err
}

func (l *link) renew(ctx context.Context) error {
	credentials := l.agent.cfg.Credentials
	identity := credentials.Identity()
	csr, err := identity.Request()
	if err != nil {
		return err
	}
	select {
	case <-l.renewed: // a late answer to an earlier request
	default:
	}
	if err := l.write(&wire.RenewRequest{CSR: csr}); err != nil {
		return err
	}
	timer := time.NewTimer(renewTimeout)
	defer timer.Stop()
	select {
	case answer := <-l.renewed:
		if answer.Refused != "" {
			return errors.New(answer.Refused)
		}
		renewed, err := identity.Renewed(answer.Certificate)
		if err != nil {
			return err
		}
		return errors.Join(renewed.Save(l.agent.cfg.Dir), credentials.Replace(renewed))
	case <-timer.C:
		return errors.New("the manager did not answer in time")
	case <-l.session.Done():
		return l.session.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
