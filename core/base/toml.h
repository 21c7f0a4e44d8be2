// toml++ without its assertions. Its parser states some of them before it reports what a text got
// wrong ("[@x]"): a user's file must neither abort the program nor be taken by the compiler for a
// promise. Who may include this is in tests/layers.
#pragma once

#pragma push_macro("NDEBUG")
#undef NDEBUG  // with it the assertions become promises, whatever they are defined as
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")
