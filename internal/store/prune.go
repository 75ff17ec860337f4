package store

// Prune removes the items for which dead reports true. Items that are stored
// meanwhile may or may not be looked at.
func (s *Store[V]) Prune(dead func(*Item[V]) bool) {
	for i := range s.shards {
		h := &s.shards[i]
		var found []*Item[V]
		h.mu.RLock()
		for _, rec := range h.records {
			if dead(rec.it) {
				found = append(found, rec.it)
			}
		}
		h.mu.RUnlock()
		for _, it := range found {
			s.Delete(it)
		}
	}
}
