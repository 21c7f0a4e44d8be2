// The models that the chat can load: names for paths, whether one fits before it is loaded, and the
// panel that lists them. UI thread; the search runs on a thread of its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/chat/chat_settings.h"
#include "app/models/model_list.h"
#include "app/models/model_scan.h"
#include "ui/list_panel.h"

namespace app {

class ChatSession;

class ChatModels {
  public:
    // Without places nothing is searched: names are paths then.
    ChatModels() = default;
    explicit ChatModels(std::vector<ModelPlace> places);

    std::vector<ModelHeader> models() const;
    // Of those that can be run.
    std::vector<std::string> names() const;
    bool searching() const { return scan_ != nullptr && !scan_->finished(); }
    // To poll for the end of the search; -1: there is none.
    int event_fd() const { return scan_ == nullptr ? -1 : scan_->event_fd(); }
    void acknowledge() { scan_->acknowledge(); }

    // The path that is meant by a name, "#3" of the list or a path. Throws
    // core::Error(model_not_found) with the closest name.
    std::string path_of(const std::string& wanted) const;

    // What stands against loading that file with these settings, as a question with choices;
    // nothing: it fits, or its header does not tell. `reclaimable`: what goes when it comes.
    std::optional<MemoryQuestion> question_before(const std::string& path,
                                                  const LoadSettings& settings,
                                                  uint64_t reclaimable);
    // A number that answers the question asked last; nothing: none was asked, or it is no number.
    struct Answer {
        std::string path;
        MemoryChoice choice;
    };
    std::optional<Answer> take_answer(std::string_view line);
    void forget_question() { asked_.reset(); }

    // Why a model is not loaded by itself: it would take more than half of the memory; empty: it
    // is.
    std::string too_large_by_itself(const std::string& path) const;

    // Rows for the panel; keys are places in models(), from 1.
    std::vector<ui::PanelRow> rows(const LoadSettings& settings) const;

  private:
    struct Asked {
        std::string path;
        std::vector<MemoryChoice> choices;
    };

    ModelHeader header_of(const std::string& path) const;

    std::unique_ptr<ModelScan> scan_;
    std::optional<Asked> asked_;
};

// The grey block of a first run.
std::string first_run_text(const std::vector<ModelHeader>& models, const std::string& data_folder);

}  // namespace app
