#include "app/chat/panel.h"

#include <algorithm>

#include "ui/key_names.h"

namespace app {

bool Panel::on_key(ChatApp& app, const ui::Key& key) {
    switch (list_.on_key(key)) {
        case ui::PanelEvent::chosen: return choose(app);
        case ui::PanelEvent::closed: closed(app); return false;
        case ui::PanelEvent::typed: typed(app); return true;
        case ui::PanelEvent::entered: {
            const std::string prompt = list_.prompt();
            const std::string text = list_.take_input();
            entered(app, prompt, text);
            return true;
        }
        case ui::PanelEvent::moved: return true;
        case ui::PanelEvent::none: break;
    }
    const std::string name = ui::key_name(key);
    const std::vector<PanelKey> known = keys();
    const bool ours = std::any_of(known.begin(), known.end(),
                                  [&name](const PanelKey& each) { return each.key == name; });
    return !ours || act(app, name);
}

std::vector<std::unique_ptr<Panel>> all_panels() {
    std::vector<std::unique_ptr<Panel>> panels;
    panels.push_back(conversation_panel());
    panels.push_back(model_panel());
    panels.push_back(context_panel());
    panels.push_back(tree_panel());
    return panels;
}

}  // namespace app
