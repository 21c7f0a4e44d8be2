// `moxie inspect FILE`: what is in a weight file, for people and as JSON.
#pragma once

#include <iosfwd>
#include <string>

namespace app {

struct InspectOptions {
    std::string path;
    bool json = false;
    bool tensors = false;  // list every tensor; JSON: with its place in the file
};

// Prints the description and returns the exit status, 0, also of a model that cannot run. Reads
// headers and vectors only. Throws core::Error for what is no model at all.
// Everything that comes from the file is made inert before it is printed.
int run_inspect(const InspectOptions& options, std::ostream& out);

}  // namespace app
