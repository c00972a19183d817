/* gavel-embedded - a broker and a registry in one small process, for machines that have no real ones.
 *
 * The broker is librdkafka's mock cluster; the registry speaks the part of the Confluent REST API
 * that gavel uses. Both forget everything at the end. Prints one line of JSON when ready:
 * {"brokers":"127.0.0.1:PORT","registry":"http://127.0.0.1:PORT"}, and runs until SIGTERM.
 * The broker keeps about 5 MB of each partition: enough for a look, not for work.
 *
 * usage: gavel-embedded [TOPIC_PREFIX]     (default: auctions)
 */
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMAS_MAX 64
#define BODY_MAX    (256u * 1024u)

/* --- registry ------------------------------------------------------------------------------- */

typedef struct {
    char *subject;
    char *text;
    int id;
    int version;
} version;

typedef struct {
    version versions[SCHEMAS_MAX];
    int count;
    int last_id;
} registry;

typedef struct {
    char *data;
    size_t len;
} upload;

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (!text)
        return MHD_NO;
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(r, "Content-Type", "application/vnd.schemaregistry.v1+json");
    enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, int code, const char *why)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "error_code", code);
    cJSON_AddStringToObject(json, "message", why);
    return reply(c, status, json);
}

static enum MHD_Result say_id(struct MHD_Connection *c, const version *v)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "subject", v->subject);
    cJSON_AddNumberToObject(json, "version", v->version);
    cJSON_AddNumberToObject(json, "id", v->id);
    cJSON_AddStringToObject(json, "schema", v->text);
    return reply(c, MHD_HTTP_OK, json);
}

static const version *find(const registry *r, const char *subject, const char *text)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->versions[i].subject, subject) == 0 && strcmp(r->versions[i].text, text) == 0)
            return &r->versions[i];
    return NULL;
}

static const version *add(registry *r, const char *subject, const char *text)
{
    const version *known = find(r, subject, text);
    if (known || r->count == SCHEMAS_MAX)
        return known;
    version *v = &r->versions[r->count++];
    *v = (version){ strdup(subject), strdup(text), r->last_id + 1, 1 };
    for (int i = 0; i + 1 < r->count; i++) {
        v->version += strcmp(r->versions[i].subject, subject) == 0;
        if (strcmp(r->versions[i].text, text) == 0)
            v->id = r->versions[i].id; /* one id for one schema, whatever the subject */
    }
    if (v->id > r->last_id)
        r->last_id = v->id;
    return v;
}

static enum MHD_Result on_subject(struct MHD_Connection *c, registry *r, char *subject,
                                  const char *text)
{
    char *slash = strchr(subject, '/');
    bool store = slash && strcmp(slash, "/versions") == 0;
    if (slash)
        *slash = '\0';
    const version *v = store ? add(r, subject, text) : find(r, subject, text);
    if (v)
        return say_id(c, v);
    return store ? refuse(c, 507, 50001, "full") : refuse(c, 404, 40403, "Schema not found");
}

static enum MHD_Result on_schema_id(struct MHD_Connection *c, const registry *r, int id)
{
    for (int i = 0; i < r->count; i++)
        if (r->versions[i].id == id)
            return say_id(c, &r->versions[i]);
    return refuse(c, 404, 40403, "Schema not found");
}

static enum MHD_Result answer(struct MHD_Connection *c, registry *r, const char *method,
                              const char *url, const upload *body)
{
    char path[1024];
    int id;
    snprintf(path, sizeof path, "%s", url);
    if (strcmp(method, "GET") == 0 && strcmp(path, "/subjects") == 0) {
        cJSON *names = cJSON_CreateArray();
        for (int i = 0; i < r->count; i++)
            cJSON_AddItemToArray(names, cJSON_CreateString(r->versions[i].subject));
        return reply(c, MHD_HTTP_OK, names);
    }
    if (strcmp(method, "GET") == 0 && sscanf(path, "/schemas/ids/%d", &id) == 1)
        return on_schema_id(c, r, id);
    if (strcmp(method, "POST") == 0 && strncmp(path, "/compatibility/", 15) == 0) {
        cJSON *json = cJSON_CreateObject();
        cJSON_AddTrueToObject(json, "is_compatible");
        return reply(c, MHD_HTTP_OK, json);
    }
    if (strcmp(method, "POST") == 0 && strncmp(path, "/subjects/", 10) == 0) {
        cJSON *json = cJSON_ParseWithLength(body->data, body->len);
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, "schema");
        enum MHD_Result result = cJSON_IsString(text)
                                     ? on_subject(c, r, path + 10, text->valuestring)
                                     : refuse(c, 422, 42201, "no schema in the body");
        cJSON_Delete(json);
        return result;
    }
    return refuse(c, 404, 404, "not spoken here");
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *http_version, const char *data,
                                  size_t *data_len, void **state)
{
    upload *body = *state;
    (void)http_version;
    if (!body) {
        *state = calloc(1, sizeof *body);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*data_len > 0) {
        if (*data_len > BODY_MAX - body->len)
            return MHD_NO;
        char *grown = realloc(body->data, body->len + *data_len);
        if (!grown)
            return MHD_NO;
        body->data = grown;
        memcpy(body->data + body->len, data, *data_len);
        body->len += *data_len;
        *data_len = 0;
        return MHD_YES;
    }
    return answer(c, ctx, method, url, body);
}

static void on_request_end(void *ctx, struct MHD_Connection *c, void **state,
                           enum MHD_RequestTerminationCode why)
{
    upload *body = *state;
    (void)ctx, (void)c, (void)why;
    if (body)
        free(body->data);
    free(body);
}

static struct MHD_Daemon *serve(registry *r, unsigned *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, r, MHD_OPTION_SOCK_ADDR, &at,
        MHD_OPTION_NOTIFY_COMPLETED, on_request_end, NULL, MHD_OPTION_END);
    if (d)
        *port = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
    return d;
}

/* --- broker --------------------------------------------------------------------------------- */

static rd_kafka_mock_cluster_t *start_broker(rd_kafka_t **handle, const char *prefix)
{
    static const char *const suffixes[] = { "raw", "rejects", "snapshots", "dead-letters" };
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "3", NULL,
                      0); /* it warns that it has no broker of its own */
    *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    rd_kafka_mock_cluster_t *cluster = *handle ? rd_kafka_mock_cluster_new(*handle, 1) : NULL;
    for (size_t i = 0; cluster && i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(text, sizeof text, "%s.%s", prefix, suffixes[i]);
        rd_kafka_mock_topic_create(cluster, text, i == 0 ? 3 : 1, 1);
    }
    return cluster;
}

int main(int argc, char **argv)
{
    rd_kafka_t *handle = NULL;
    registry store = { .count = 0 };
    unsigned port = 0;
    int signal_number;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* before threads start */
    rd_kafka_mock_cluster_t *cluster = start_broker(&handle, argc > 1 ? argv[1] : "auctions");
    struct MHD_Daemon *daemon = cluster ? serve(&store, &port) : NULL;
    if (!daemon) {
        fprintf(stderr, "gavel-embedded: cannot listen on 127.0.0.1\n");
        return 1;
    }
    printf("{\"brokers\":\"%s\",\"registry\":\"http://127.0.0.1:%u\"}\n",
           rd_kafka_mock_cluster_bootstraps(cluster), port);
    fflush(stdout);
    sigwait(&ends, &signal_number);
    MHD_stop_daemon(daemon);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(handle);
    for (int i = 0; i < store.count; i++) {
        free(store.versions[i].subject);
        free(store.versions[i].text);
    }
    return 0;
}
