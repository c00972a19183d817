/* gavel spool cat: the records, one a line. */
#include "agent/cli/cli.h"
#include "agent/tools/internal.h"
#include "agent/tools/print.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

/* What this program has no schema for is shown as its bytes. */
static void put_hex(gv_span bytes)
{
    putchar('"');
    for (size_t i = 0; i < bytes.len; i++)
        printf("%02x", bytes.data[i]);
    putchar('"');
}

static void put_body(const scan *s, const batch *b, gv_span body, bool json)
{
    const schema *type = scan_schema(s, b->fingerprint);

    if (b->kind == BATCH_LEDGER) /* is JSON, and has no line breaks */
        fwrite(body.data, 1, body.len, stdout);
    else if (!type || avro_in_check(type->root, body, NULL) != GV_OK)
        put_hex(body);
    else
        avro_json_write(type->root, body, json ? AVRO_JSON : AVRO_TEXT, print_put, stdout, NULL);
}

static gv_status put_record(const scan *s, const spool_item *item, const batch *b,
                            const batch_entry *entry, bool json, gv_error *err)
{
    const char *kind = filter_kind_name(item->header.meta.kind);
    char name[SNAPSHOT_TEXT_MAX];
    gv_span body =
        gv_span_of(entry->framed + BATCH_PREFIX_BYTES, entry->framed_len - BATCH_PREFIX_BYTES);

    snapshot_format(&b->snapshot, name);
    if (json) {
        printf("{\"seq\":%" PRIu64 ",\"kind\":\"%s\",\"snapshot\":", item->first_seq, kind);
        print_json_string(name);
        printf(",\"key\":%" PRIu64 ",\"schema\":\"%016" PRIx64 "\",\"record\":", entry->key,
               b->fingerprint);
    } else {
        printf("%s %s %" PRIu64 " ", name, kind, entry->key);
    }
    put_body(s, b, body, json);
    fputs(json ? "}\n" : "\n", stdout);
    return ferror(stdout) ? gv_fail(err, GV_IO, "the output cannot be written") : GV_OK;
}

static gv_status print_all(scan *s, const filter *f, bool json, gv_error *err)
{
    gv_status status;
    spool_item item;
    batch b;

    while ((status = scan_next_batch(s, f, &item, &b, err)) == GV_OK) {
        batch_entry entry;
        size_t offset = 0;

        while (status == GV_OK && batch_next(&b, &offset, &entry))
            status = put_record(s, &item, &b, &entry, json, err);
        if (status != GV_OK)
            return status;
    }
    return status;
}

int tools_cat(tools_call *call)
{
    bool json = cli_take_flag(&call->argc, call->argv, "--json");
    gv_error err = { 0, "" };
    filter f;
    scan s;

    signal(SIGPIPE, SIG_DFL); /* `| head` ends it quietly */
    if (!tools_take_filter(call, &f) || !tools_words_left(call, 0) || !tools_find_dir(call))
        return CLI_USAGE;
    gv_status status = scan_open(&s, call->dir, SCAN_PRINTS, &err);
    if (status == GV_OK)
        status = print_all(&s, &f, json, &err);
    scan_close(&s);
    if (status != GV_AGAIN)
        return tools_fail(&err);
    if (!tools_output_ok())
        return CLI_USAGE;
    return scan_tell_losses(&s) ? CLI_NOT_ALL_WELL : CLI_OK;
}
