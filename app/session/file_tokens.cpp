#include "app/session/file_tokens.h"

#include <utility>
#include <vector>

namespace app {

void FileTokens::want(const chat::Attachments& files, const std::string& model) {
    if (std::exchange(model_, model) != model) {
        counts_.clear();
        asked_.clear();
    }
    if (model.empty()) return;
    for (const auto& file : files) {
        if (!counts_.emplace(file, std::nullopt).second) continue;
        const chat::RequestId id = channel_->next_id();
        asked_[id] = file;
        channel_->submit(chat::Count{
            .id = id,
            .what = std::vector<chat::Message>{
                {.role = chat::Role::user, .text = chat::text_with_files({}, {file})}}});
    }
}

bool FileTokens::on(const chat::Counted& counted) {
    const auto asked = asked_.extract(counted.id);
    if (asked.empty()) return false;
    if (!counted.tokens.empty()) counts_[asked.mapped()] = counted.tokens.front();
    return true;
}

std::optional<uint32_t> FileTokens::of(const std::shared_ptr<const chat::Attachment>& file) const {
    const auto found = counts_.find(File(file));
    return found == counts_.end() ? std::nullopt : found->second;
}

}  // namespace app
