"""Sentences of the page of channels, in Chinese and English side by side."""

from __future__ import annotations

from suanquan.portal.inbox_text import TEXTS as _INBOX

_TABLE = {
    # key: (Chinese, English)
    "ways_title": ("通知通道", "Channels of notices"),
    "ways_lead": ("通知除进收件箱外，另发到这里登记的地址。各人另收邮件的，在收件箱的“我要收到什么”里选择。", "Where notices go besides the inbox. Mail to a person is chosen in the inbox, under “What I want to be told”."),
    "ways_add": ("登记一个通道", "Register a channel"),
    "way": ("方式", "Way"),
    "way_webhook": ("webhook（自己的系统，带签名）", "webhook (a system of your own, signed)"),
    "way_wecom": ("企业微信群机器人", "WeCom group robot"),
    "way_dingtalk": ("钉钉群机器人", "DingTalk group robot"),
    "way_email": ("邮件", "e-mail"),
    "way_url": ("地址（https://…）", "Address (https://…)"),
    "way_url_hint": ("机器人的完整地址。登记后只显示主机名", "the robot's whole address; once registered, only its host is shown"),
    "way_secret": ("钉钉“加签”的密钥", "Secret of a DingTalk robot that signs"),
    "way_secret_hint": ("没有加签的不填；webhook 的密钥由系统生成", "empty without signing; a webhook's secret is made here"),
    "way_kinds": ("哪些通知（不选为全部）", "Which notices (none ticked: all)"),
    "way_button": ("登记", "Register"),
    "way_made": ("已登记。webhook 的密钥只显示这一次，请存到接收方：", "Registered. The secret of the webhook is shown this once: keep it where notices are received."),
    "way_since": ("登记", "Registered"),
    "way_by": ("由谁", "By"),
    "way_in_force": ("在用", "in force"),
    "way_lately": ("最近的投递", "Delivered lately"),
    "way_none_lately": ("还没有投递过。可发一条测试。", "Nothing was delivered yet; send a test."),
    "way_test": ("发测试", "Send a test"),
    "way_end": ("停用", "End"),
    "way_again": ("再发一次", "Send again"),
    "way_tested": ("测试已上路，投递结果片刻后见下。", "A test is on its way; what became of it is below in a moment."),
    "sent_waiting": ("待投递", "waiting"),
    "sent_delivered": ("已送达", "delivered"),
    "sent_dead": ("没有送达，不再尝试", "not delivered, given up"),
    "sent_tries": ("第 {count} 次", "try {count}"),
    "way_empty": ("还没有通道。登记之后，通知另发到那里。", "No channel yet. Once one is registered, notices go there, too."),
}  # fmt: skip
TEXTS = {
    language: dict(_INBOX[language]) | {key: pair[at] for key, pair in _TABLE.items()}
    for at, language in enumerate(("zh", "en"))
}
NAMES = frozenset(_TABLE)
