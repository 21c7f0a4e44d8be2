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

// Prints the description and returns the exit status, 0. Reads the header only. Throws core::Error.
// Everything that comes from the file is made inert before it is printed.
int run_inspect(const InspectOptions& options, std::ostream& out);

}  // namespace app
