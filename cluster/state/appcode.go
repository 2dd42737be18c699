package state

import (
	"time"
)

// codeMargin is how long a used code is remembered after it has expired. Managers whose clocks differ by less can't make
// a code count twice.
const codeMargin = 10 * time.Minute

// maxForget bounds what one command clears up.
const maxForget = 100

// AppCodeUsed notes that a one-time code is used, and refuses one that was used before or has expired. A used code takes
// about 30 bytes until it is forgotten, some time after its end.
type AppCodeUsed struct {
	// ID is the code's hash, ExpiresAt until when the code counts.
	ID        []byte
	ExpiresAt time.Time
	At        time.Time
}

func (c *AppCodeUsed) apply(tx *Tx) (any, error) {
	if !c.ExpiresAt.After(c.At) {
		return nil, Errorf(Conflict, "This link has expired.")
	}
	used := append(be64(uint64(c.ExpiresAt.Unix())), c.ID...)
	if tx.btx.Bucket(bucketAppCodes).Get(used) != nil {
		return nil, Errorf(Conflict, "This link was used before.")
	}
	if err := tx.forgetAppCodes(c.At.Add(-codeMargin)); err != nil {
		return nil, err
	}
	return nil, tx.putRaw(bucketAppCodes, used, nil)
}

// forgetAppCodes forgets the oldest codes of those that have expired before a time.
func (tx *Tx) forgetAppCodes(before time.Time) error {
	var old [][]byte
	cursor, end := tx.btx.Bucket(bucketAppCodes).Cursor(), string(be64(uint64(before.Unix())))
	for k, _ := cursor.First(); k != nil && string(k[:8]) < end && len(old) < maxForget; k, _ = cursor.Next() {
		old = append(old, k)
	}
	for _, k := range old {
		if err := tx.delete(bucketAppCodes, k); err != nil {
			return err
		}
	}
	return nil
}
