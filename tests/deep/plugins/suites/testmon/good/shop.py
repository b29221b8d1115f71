def price(count):
    return 2 * count


def tax(amount):
    return amount // 5
