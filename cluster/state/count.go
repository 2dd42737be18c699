package state

// CountContainers counts the containers by state. It reads all of them: a thousand take some milliseconds.
func (tx *Tx) CountContainers() (map[State]int, error) {
	count := make(map[State]int)
	err := each(tx, bucketContainers, nil, func(_ []byte, c Container) bool {
		count[c.State]++
		return true
	})
	return count, err
}

// TaskRuns lists the last run of each periodic task.
func (tx *Tx) TaskRuns() (runs []TaskRun, err error) {
	err = each(tx, bucketTasks, nil, func(_ []byte, r TaskRun) bool {
		runs = append(runs, r)
		return true
	})
	return runs, err
}

// PendingCount is how many actions are under way or wait.
func (tx *Tx) PendingCount() int { return tx.pendingCount() }
