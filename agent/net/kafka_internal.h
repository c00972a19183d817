/* kafka_internal.h - what the kafka_*.c files share; nobody else includes this, or librdkafka. */
#ifndef GAVEL_NET_KAFKA_INTERNAL_H
#define GAVEL_NET_KAFKA_INTERNAL_H

#include "agent/net/kafka.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#define KAFKA_TEXT_MAX 256

/* The state of the connection as it was last told, and what is known of the cause. librdkafka says
 * "all brokers are down" also when it only lost an idle connection: it is an outage once there is a
 * cause as well. */
typedef struct {
    bool told;
    bool up;
    bool all_down;
    kafka_failure failure;
    char text[KAFKA_TEXT_MAX]; /* last told */
    kafka_failure cause_failure;
    char cause[KAFKA_TEXT_MAX]; /* why brokers could not be reached; "" when nothing is known */
} kafka_link;

typedef void kafka_link_fn(void *ctx, bool up, kafka_failure failure, const char *text);

void kafka_link_up(kafka_link *link, kafka_link_fn *tell, void *ctx);
/* Takes what librdkafka's error callback says, and tells a changed state. */
void kafka_link_error(kafka_link *link, rd_kafka_resp_err_t code, const char *reason,
                      kafka_link_fn *tell, void *ctx);

kafka_failure kafka_classify(rd_kafka_resp_err_t code);

/* One sentence for a person. `reason`: librdkafka's words, or NULL; `topic`: NULL when none is
 * concerned; `doing`: "write", "read". */
void kafka_describe(rd_kafka_resp_err_t code, const char *reason, const char *topic,
                    const char *doing, char text[KAFKA_TEXT_MAX]);

/* Everything of the configuration that both kinds of client need, then what the caller adds, then
 * the pass-through properties. NULL with err filled in. */
rd_kafka_conf_t *kafka_conf_new(const kafka_config *config, void *opaque, gv_error *err);
gv_status kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, gv_error *err);
gv_status kafka_conf_set_int(rd_kafka_conf_t *conf, const char *name, uint64_t value,
                             gv_error *err);
/* GV_INVAL: librdkafka made no client of the configuration, and said why. */
gv_status kafka_conf_fail(const char *client, const char *why, gv_error *err);
gv_status kafka_conf_pass_through(rd_kafka_conf_t *conf, const kafka_config *config, gv_error *err);

/* --- producer and topics share these ------------------------------------------------------------ */
typedef struct kafka_check kafka_check;

typedef struct kafka_topic_handle {
    struct kafka_topic_handle *next;
    rd_kafka_topic_t *rkt;
    char name[]; /* as asked for */
} kafka_topic_handle;

struct kafka_producer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *main_queue;
    rd_kafka_queue_t *admin_queue;
    plat_loop *loop;
    int wake[2]; /* librdkafka writes to [1]; -1 without a loop */
    kafka_producer_events events;
    kafka_link link;
    /* The only two that librdkafka's threads write: */
    _Atomic uint64_t up_mask; /* one bit for each connected broker, chosen by its name */
    atomic_bool came_up;      /* some broker has connected since the last poll */
    kafka_topic_handle *topics;
    kafka_check *check; /* under way, or NULL */
    bool is_fatal;      /* from now on the connection's state is of no interest */
};

int64_t kafka_now_ms(void); /* monotonic */

/* Has the loop poll the producer; from any thread. */
void kafka_producer_wake(kafka_producer *p);

/* Starts a check that waits for a broker; gives one up that has waited too long. */
void kafka_topics_poll(kafka_producer *p);
/* The outcome of an administrative request; destroys the event. */
void kafka_topics_event(kafka_producer *p, rd_kafka_event_t *event);
void kafka_topics_cancel(kafka_producer *p);

#endif
