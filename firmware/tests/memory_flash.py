"""Records in memory, for tests of what is kept; `broken` makes every save fail."""


class MemoryFlash:
    def __init__(self):
        self.records = {}
        self.saves = 0
        self.broken = False

    def load(self, name):
        return self.records.get(name)

    def save(self, name, payload):
        if self.broken:
            return False
        self.saves += 1
        self.records[name] = bytes(payload)
        return True
