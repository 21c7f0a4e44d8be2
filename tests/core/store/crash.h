// kill -9 of a process that writes a conversation: what it was told is durable is there afterwards.
#pragma once

#include <cstdint>

namespace core {

// Starts `rounds` processes one after the other on one database, each of which goes on with the
// conversation that is there, and kills each at a random moment. Fails the running test when a turn
// that was acknowledged is missing, or the database is not whole.
void kill_writers(int rounds, uint32_t seed);

}  // namespace core
