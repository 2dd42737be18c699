package state

// AppCodesUsed counts the used codes that are remembered.
func (tx *Tx) AppCodesUsed() (n int) {
	cursor := tx.btx.Bucket(bucketAppCodes).Cursor()
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
		n++
	}
	return n
}
