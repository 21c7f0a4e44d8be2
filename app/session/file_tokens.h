// How many tokens the files of messages have for the model that is loaded. The engine is asked once
// for each; the numbers come when they come.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/chat/attachment.h"
#include "core/chat/channel.h"

namespace app {

class FileTokens {
  public:
    explicit FileTokens(chat::Channel& channel) : channel_(&channel) {}

    // Asks for those that were not asked for yet; for another model all anew.
    void want(const chat::Attachments& files, const std::string& model);
    // False: the answer is to somebody else.
    bool on(const chat::Counted& counted);
    bool on(const chat::Failed& failed) { return asked_.erase(failed.id) > 0; }
    // Nothing: it is not known yet.
    std::optional<uint32_t> of(const std::shared_ptr<const chat::Attachment>& file) const;

  private:
    using File = std::weak_ptr<const chat::Attachment>;
    chat::Channel* channel_;
    std::string model_;
    std::map<File, std::optional<uint32_t>, std::owner_less<>> counts_;
    std::map<chat::RequestId, File> asked_;
};

}  // namespace app
