"""Who may ask, how much, and what is written down about it.

On the event loop a request costs one digest, a few dictionary look-ups and one append; whatever touches a disk or the
store is done by two threads of their own: one follows the list of keys, one writes usage and the audit log.
"""
