/* Instructions in the dialects that tuning tools read (spec/conventions.md 4.8): LF, UTF-8, no byte
 * order mark, one object per line. */
#include "engine/base/json.h"
#include "rec/prompt/instruct.h"

const char *rr_dialect_name(enum rr_dialect d)
{
    static const char *const names[] = {"messages", "alpaca", "sharegpt"};
    return names[d];
}

static void field(struct rr_buf *out, const char *before, const char *s, size_t n)
{
    rr_buf_puts(out, before);
    rr_json_add_string(out, s, n);
}

void rr_instruction_write(struct rr_buf *out, enum rr_dialect dialect,
                          const struct rr_instruction *in, const struct rr_dataset *d)
{
    const struct rr_prompt *p = in->prompt;
    const char *text = p->text.data, *user = text + p->user_begin;
    const size_t n_user = p->user_end - p->user_begin, n_answer = strlen(in->answer);
    switch (dialect) {
    case RR_DIALECT_MESSAGES:
        field(out, "{\"messages\":[{\"role\":\"system\",\"content\":", text, p->system_end);
        field(out, "},{\"role\":\"user\",\"content\":", user, n_user);
        field(out, "},{\"role\":\"assistant\",\"content\":", in->answer, n_answer);
        rr_buf_puts(out, "}]");
        break;
    case RR_DIALECT_ALPACA:
        field(out, "{\"instruction\":", text, p->system_end);
        field(out, ",\"input\":", user, n_user);
        field(out, ",\"output\":", in->answer, n_answer);
        break;
    default:
        field(out, "{\"conversations\":[{\"from\":\"human\",\"value\":", user, n_user);
        field(out, "},{\"from\":\"gpt\",\"value\":", in->answer, n_answer);
        field(out, "}],\"system\":", text, p->system_end);
    }
    rr_buf_printf(out, ",\"task\":\"%s\"", rr_task_name(in->task));
    field(out, ",\"user\":", d->user_ids[in->user], strlen(d->user_ids[in->user]));
    for (int i = 0; i < in->n_items; i++)
        field(out, i ? "," : ",\"items\":[", d->item_ids[in->items[i]],
              strlen(d->item_ids[in->items[i]]));
    rr_buf_puts(out, "]}\n");
}

void rr_dialect_info(struct rr_buf *out, enum rr_dialect dialect, const char *file)
{
    static const char *const rest[] = {
        "\"formatting\": \"sharegpt\",\n    \"columns\": {\"messages\": \"messages\"},\n"
        "    \"tags\": {\"role_tag\": \"role\", \"content_tag\": \"content\", \"user_tag\": "
        "\"user\", \"assistant_tag\": \"assistant\", \"system_tag\": \"system\"}\n",
        "\"formatting\": \"alpaca\",\n    \"columns\": {\"prompt\": \"instruction\", \"query\": "
        "\"input\", \"response\": \"output\"}\n",
        "\"formatting\": \"sharegpt\",\n    \"columns\": {\"messages\": \"conversations\", "
        "\"system\": \"system\"}\n"};
    rr_buf_puts(out, "{\n  \"recranker\": {\n    \"file_name\": ");
    rr_json_add_string(out, file, strlen(file));
    rr_buf_printf(out, ",\n    %s  }\n}\n", rest[dialect]);
}
