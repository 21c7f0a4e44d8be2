// Presets: named sets of sampling parameters, presets/NAME.toml beside config.toml. They are
// written only by /preset save.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "app/settings/named_files.h"
#include "app/settings/sampling_layers.h"

namespace app {

class Presets {
  public:
    // The user's folder first; a preset there hides one of the same name behind it.
    explicit Presets(std::vector<std::string> folders);
    // Those of config_folder() and /etc/xdg/moxie.
    static Presets of_user();

    explicit Presets(NamedFiles files) : files_(std::move(files)) {}

    // Names, sorted.
    std::vector<std::string> names() const { return files_.names(); }
    // Throws core::Error(config): no such preset, with the nearest name; a mistake in it, with file
    // and line.
    SamplingValues load(const std::string& name) const;
    // Into the first folder, replacing what is there. Returns the path. Throws core::Error(usage)
    // for a name that cannot be a file's, Error(storage).
    std::string save(const std::string& name, const SamplingValues& values) const;

  private:
    NamedFiles files_;
};

}  // namespace app
