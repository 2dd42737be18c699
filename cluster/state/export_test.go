package state

import bolt "go.etcd.io/bbolt"

// AppCodesUsed counts the used codes that are remembered.
func (tx *Tx) AppCodesUsed() (n int) {
	cursor := tx.btx.Bucket(bucketAppCodes).Cursor()
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
		n++
	}
	return n
}

// RemoveFilesOf is what the deletion of a project does with its files.
func (s *Store) RemoveFilesOf(project string) error {
	return s.db.Update(func(btx *bolt.Tx) error { return (&Tx{btx: btx}).removeFilesOf(project) })
}

// VerifyIn checks the timeline as a transaction sees it.
func VerifyIn(btx *bolt.Tx) error {
	_, err := (&Tx{btx: btx}).VerifyEvents()
	return err
}
